"""GLSL of the portrait renderer: one vertex stage, one lighting model, a fragment stage per material."""

HEADER = "#version 330\n"

# Positions are in a head's own dm; `follow` says how far a vertex follows the head's turn on the neck.
VERTEX = (
    HEADER
    + """
uniform mat4 camera;
uniform mat3 head_turn;
uniform vec3 head_shift;
uniform vec3 pivot;
uniform mat3 body_turn;
uniform vec3 body_place;
uniform float offset;
uniform vec3 slack;
in vec3 in_position;
in vec3 in_normal;
in vec3 in_template;
in vec4 in_masks;
in vec3 in_follow;
out vec3 position;
out vec3 normal;
out vec3 spot;
out vec4 masks;
out float occlusion;
out float scalp;
void main() {
    float drop = smoothstep(5.6, 4.6, in_template.y);
    vec3 p = in_position + in_normal * (offset + drop * slack.x);
    vec3 turned = head_turn * (p - pivot) + pivot + head_shift;
    vec3 turned_normal = head_turn * in_normal;
    position = body_turn * mix(p, turned, in_follow.x) + body_place;
    normal = body_turn * mix(in_normal, turned_normal, in_follow.x);
    spot = in_template;
    masks = in_masks;
    occlusion = in_follow.y;
    scalp = in_follow.z;
    gl_Position = camera * vec4(position, 1.0);
}
"""
)

LIGHTING = """
uniform vec3 eye;
uniform vec3 light_way[3];
uniform vec3 light_colour[3];
uniform vec3 sky;
uniform vec3 ground;
uniform mat4 shadow_camera;
uniform sampler2DShadow shadow_map;
uniform sampler3D noise;
uniform float exposure;

float lit(vec3 p, vec3 n) {
    vec4 q = shadow_camera * vec4(p + n * 0.03, 1.0);
    vec3 c = q.xyz * 0.5 + 0.5;
    c.z -= 0.004;
    float s = 4.0 / 512.0, sum = 0.0;
    sum += texture(shadow_map, c + vec3(s * 0.3, s * 0.1, 0)) + texture(shadow_map, c + vec3(-s * 0.1, s * 0.4, 0));
    sum += texture(shadow_map, c + vec3(-s * 0.6, -s * 0.2, 0)) + texture(shadow_map, c + vec3(s * 0.2, -s * 0.7, 0));
    sum += texture(shadow_map, c + vec3(s, s * 0.5, 0)) + texture(shadow_map, c + vec3(-s * 0.7, s * 0.8, 0));
    return sum / 6.0;
}

vec3 bumped(vec3 n, vec3 p, float h) {
    vec3 px = dFdx(p), py = dFdy(p);
    vec3 r1 = cross(py, n), r2 = cross(n, px);
    float det = dot(px, r1);
    return normalize(abs(det) * n - sign(det) * (dFdx(h) * r1 + dFdy(h) * r2));
}

// Wrapped diffuse per channel: light that enters skin leaves it redder and further round the terminator.
vec3 shade(vec3 albedo, vec3 p, vec3 n, vec3 soft, float ao, vec3 wrap, float gloss, float shine) {
    vec3 view = normalize(eye - p);
    float shadow = lit(p, soft);
    vec3 total = albedo * mix(ground, sky, 0.5 + 0.5 * soft.y) * ao;
    vec3 spark = vec3(0.0);
    float fresnel = 0.04 + 0.96 * pow(1.0 - max(dot(n, view), 0.0), 5.0) * 0.5;
    for (int i = 0; i < 3; i++) {
        vec3 l = light_way[i];
        vec3 facing = mix(vec3(dot(n, l)), vec3(dot(soft, l)), vec3(0.7, 0.25, 0.15));
        vec3 diffuse = clamp((facing + wrap) / (1.0 + wrap), 0.0, 1.0);
        vec3 open = vec3(1.0);
        if (i == 0) open = pow(vec3(shadow), vec3(1.0) - wrap * 0.9);
        float shut = mix(0.35, 1.0, ao);
        total += albedo * light_colour[i] * diffuse * open * shut;
        vec3 h = normalize(l + view);
        float nh = max(dot(n, h), 0.0);
        float lobe = 0.75 * (gloss + 8.0) / 8.0 * pow(nh, gloss) + 0.25 * (gloss * 4.0 + 8.0) / 8.0 * pow(nh, gloss * 4.0);
        spark += light_colour[i] * lobe * max(dot(n, l), 0.0) * (i == 0 ? shadow : 0.7) * shut;
    }
    return total + spark * shine * fresnel * ao;
}

vec3 filmed(vec3 c) {
    c = max(c * exposure, 0.0);
    c = c * (1.0 + c * 0.16) / (1.0 + c * 0.58);
    return pow(clamp(c, 0.0, 1.0), vec3(1.0 / 2.2));
}
float bump2(vec2 d) { return exp(-dot(d, d)); }
// one round dot per cell, at a hashed place and of a hashed size
float dots(vec3 p, float share) {
    ivec3 cell = ivec3(floor(p));
    vec4 h = texelFetch(noise, cell & 31, 0);
    vec3 d = fract(p) - 0.3 - 0.4 * h.xyz;
    return step(h.w, share) * smoothstep(0.30, 0.12, length(d) / (0.6 + 0.8 * fract(h.w * 37.0)));
}
"""

SKIN = (
    HEADER
    + """
in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;
"""
    + LIGHTING
    + """
uniform vec3 skin; uniform vec3 lips; uniform vec3 hair; uniform vec3 brow; uniform vec3 paint;
uniform vec4 marks;      // freckles, blotches, wrinkles, makeup
uniform vec4 growth;     // stubble, scalp cover, brow thickness, brow height
uniform vec4 form;       // brow arch, hairline, shine, melanin
uniform float seed;
uniform float mouth_light;

float beard(vec3 t) {
    float x = abs(t.x);
    float top = mix(6.66, 6.98, smoothstep(0.3, 0.78, x));
    float jaw = smoothstep(top + 0.05, top - 0.06, t.y) * smoothstep(5.92, 6.12, t.y) * smoothstep(0.45, 0.62, t.z);
    float lip = smoothstep(0.32, 0.22, x) * smoothstep(6.86, 6.8, t.y) * smoothstep(6.66, 6.7, t.y) * step(1.2, t.z);
    float burn = smoothstep(0.62, 0.7, x) * smoothstep(0.52, 0.6, t.z) * smoothstep(0.85, 0.76, t.z) * smoothstep(7.3, 7.1, t.y);
    return clamp(max(max(jaw, lip), burn * step(6.5, t.y)), 0.0, 1.0) * (1.0 - masks.x);
}

void main() {
    vec3 t = spot;
    float x = abs(t.x);
    float front = smoothstep(0.75, 1.05, t.z);
    vec4 fine = texture(noise, t * 3.1 + seed);
    vec4 medium = texture(noise, t * 0.63 + seed * 1.7);
    vec4 broad = texture(noise, t * 0.16 + seed * 2.3);
    vec3 n = normalize(normal);
    vec3 soft = n;

    // relief: pores, lip creases, wrinkles
    float height = (fine.x - 0.5) * 0.0016 + (medium.y - 0.5) * 0.0022;
    float creases = texture(noise, vec3(t.x * 4.5, t.y * 0.5, seed)).z - 0.5;
    height += masks.x * creases * 0.0035;
    float old = marks.z;
    float wave = sin((t.y + 0.05 * t.x * t.x + 0.03 * (broad.x - 0.5)) * 52.0 + medium.x * 1.2);
    height += old * 0.0042 * wave * front * smoothstep(7.56, 7.64, t.y) * smoothstep(7.95, 7.84, t.y) * smoothstep(0.55, 0.35, x);
    vec2 corner = vec2(x - 0.43, t.y - 7.27);
    float fan = sin(atan(corner.y, corner.x) * 13.0 + medium.z * 2.0);
    height += old * 0.0035 * fan * smoothstep(0.03, 0.09, corner.x) * smoothstep(0.26, 0.14, corner.x) * smoothstep(0.15, 0.08, abs(corner.y));
    float fold_x = mix(0.36, 0.19, smoothstep(6.62, 6.95, t.y)) + 0.03 * sin((t.y - 6.62) * 9.0);
    float fold = bump2(vec2((x - fold_x) / 0.028, 0.0)) * smoothstep(6.5, 6.66, t.y) * smoothstep(6.98, 6.88, t.y) * front;
    height -= (0.001 + 0.010 * old) * fold;
    float under = length((vec2(x - 0.31, t.y - 7.25)) * vec2(1.0, 1.25));
    float lower_side = smoothstep(7.25, 7.18, t.y) * front;
    float bag = bump2(vec2((under - 0.185) / 0.018, 0.0)) * lower_side;
    height -= 0.004 * (0.1 + old) * bag;
    height += old * (medium.w - 0.5) * 0.008;
    n = bumped(n, position, height);

    // colour
    vec3 albedo = skin;
    float red = 0.55 * bump2(vec2((x - 0.42) / 0.2, (t.y - 6.93) / 0.17)) * front;
    red += 0.55 * bump2(vec2(t.x / 0.13, (t.y - 6.92) / 0.1)) * smoothstep(1.45, 1.62, t.z);
    red += 0.45 * masks.w + 0.2 * bump2(vec2(t.x / 0.3, (t.y - 6.3) / 0.14)) * front;
    red += (broad.y - 0.5) * 0.7 * marks.y + (medium.z - 0.5) * 0.22 * marks.y;
    vec3 flush = mix(vec3(1.1, 0.78, 0.76), vec3(1.08, 0.84, 0.78), form.w);
    albedo *= mix(vec3(1.0), flush, clamp(red, -0.25, 1.1) * mix(1.0, 0.7, form.w));
    albedo *= 1.0 + (fine.y - 0.5) * 0.10 + (medium.x - 0.5) * 0.10 * marks.y;
    float shade_eye = bump2(vec2((x - 0.27) / 0.17, (t.y - 7.16) / 0.075)) * front;
    albedo *= mix(vec3(1.0), vec3(0.82, 0.76, 0.80), shade_eye * (0.45 + 0.35 * old));
    albedo *= mix(vec3(1.0), vec3(0.84, 0.72, 0.70), clamp(masks.z, 0.0, 1.0) * 0.6);
    float speckle = marks.x > 0.0 ? max(dots(t * 26.0 + 7.0, 0.3 + 0.4 * medium.y), 0.8 * dots(t * 41.0, 0.25)) : 0.0;
    albedo *= mix(vec3(1.0), vec3(0.78, 0.62, 0.50), speckle * marks.x * front * (0.6 + 0.6 * bump2(vec2((x - 0.3) / 0.35, (t.y - 7.0) / 0.2))) * smoothstep(0.7, 0.4, abs(t.y - 7.0)) * (1.0 - masks.x));
    albedo *= mix(vec3(1.0), vec3(0.80, 0.70, 0.62), dots(t * 7.0 + seed * 5.0, 0.25) * old * 0.5);
    albedo *= 1.0 - fold * (0.10 + 0.16 * old) - bag * 0.08 * (0.15 + old);
    albedo *= 1.0 - old * 0.10 * smoothstep(0.0, -0.8, wave) * front * smoothstep(7.56, 7.64, t.y) * smoothstep(7.95, 7.84, t.y) * smoothstep(0.55, 0.35, x);

    // makeup: shadow on the lids, blush
    albedo = mix(albedo, albedo * vec3(0.62, 0.5, 0.52), marks.w * 0.7 * bump2(vec2((x - 0.33) / 0.16, (t.y - 7.36) / 0.05)) * front);
    albedo *= mix(vec3(1.0), vec3(1.05, 0.72, 0.74), marks.w * 0.5 * bump2(vec2((x - 0.5) / 0.14, (t.y - 7.0) / 0.1)) * front);

    // lips with a soft edge and a darker line between them
    float lip = smoothstep(0.25, 0.85, masks.x);
    vec3 lip_colour = lips * (0.92 + 0.25 * (creases + 0.3)) ;
    albedo = mix(albedo, lip_colour, lip * 0.88);
    float lower = smoothstep(6.60, 6.56, t.y) * lip;

    // stubble and cropped hair painted under the strands
    float grain = smoothstep(0.35, 0.75, texture(noise, t * vec3(5.2, 3.6, 5.2)).z);
    float chin = beard(t);
    albedo = mix(albedo, hair * 0.6 + albedo * 0.12, chin * growth.x * (0.28 + 0.42 * grain));
    float cover = smoothstep(-0.02, 0.07, scalp + (fine.z - 0.5) * 0.07) * growth.y * (1.0 - masks.w);
    albedo = mix(albedo, hair * 0.75, cover * (0.72 + 0.28 * grain));

    // brows: strands along a curve
    float along = (x - 0.10) / 0.50;
    float middle = 7.475 + growth.w * 0.018 + (0.012 + 0.04 * form.x) * sin(clamp(along, 0.0, 1.0) * 2.7) - 0.035 * along * along;
    float half_width = 0.042 * growth.z * (1.0 - 0.75 * smoothstep(0.45, 1.05, along)) * smoothstep(-0.06, 0.16, along);
    float across = (t.y - middle) / max(half_width, 0.004);
    float strands = texture(noise, vec3(along * 2.2 - across * 0.10, across * 0.34 + along * 0.35, seed)).y;
    float body = smoothstep(1.15, 0.35, abs(across)) * step(-0.05, along) * smoothstep(1.04, 0.9, along) * front;
    float browed = body * smoothstep(0.18, 0.55, strands + 0.25 * body);
    albedo = mix(albedo, brow, browed * 0.86);

    // the mouth's inside: dark, wet, red
    float inside = smoothstep(0.3, 0.8, masks.y);
    albedo = mix(albedo, vec3(0.20, 0.035, 0.04), inside);
    float deep = smoothstep(1.52, 1.0, t.z);
    float ao = occlusion;
    if (inside > 0.01) ao = mix(ao, mix(0.55, 0.06, deep) * mouth_light, inside);

    float gloss = mix(26.0, 70.0, lip);
    float oily = form.z * (0.75 + 0.7 * bump2(vec2(t.x / 0.22, (t.y - 7.1) / 0.6)) * front) * (1.0 - 0.6 * cover) * (1.0 - 0.7 * browed);
    float shine = mix(oily * (0.7 + 0.6 * fine.w), 1.5 + marks.w, lip);
    shine = mix(shine, 0.5, inside) * (1.0 - 0.6 * chin * growth.x);
    vec3 wrap = mix(vec3(0.42, 0.16, 0.11), vec3(0.24, 0.12, 0.09), form.w);
    colour = vec4(filmed(shade(albedo, position, n, soft, ao, wrap, gloss, shine)), 1.0);
}
"""
)

# A layer over the skin: cloth below the neckline, or a cap, hood or stubble of hair above the hairline.
CLOTH = (
    HEADER
    + """
in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;
"""
    + LIGHTING
    + """
uniform vec3 cloth; uniform vec3 cloth2; uniform vec3 inner;
uniform int cut; uniform int pattern; uniform float seed; uniform int layer;

// dm inside the cloth's edge: a ring around the neck, opened in front by the cut
float neckline(vec3 t, int kind) {
    float x = abs(t.x);
    float ring = length(vec2(t.x, t.z - 0.16) * vec2(1.0, 0.92));
    float front = smoothstep(0.35, 0.6, t.z);
    if (kind == 3) return mix(5.98, 6.25, 1.0 - smoothstep(-0.25, 0.75, t.z)) - t.y;
    float radius = kind == 0 ? 0.66 : kind == 2 ? 0.78 : kind == 4 ? 0.58 : kind == 6 ? 0.68 : 0.62;
    float edge = ring - radius - 0.5 * max(0.0, t.y - 5.75);
    float bottom = kind == 1 ? 4.72 : kind == 2 ? 4.98 : kind == 4 ? 5.12 : kind == 5 ? 3.9 : 9.0;
    float slope = kind == 2 ? 1.9 : kind == 5 ? 0.46 : 0.62;
    float lower = kind == 2 ? (bottom - t.y) + 0.5 * x * x : x - (t.y - bottom) * slope;
    if (kind == 1 || kind == 4 || kind == 5) edge = min(edge, mix(9.0, lower * 0.85, front));
    if (kind == 2) edge = min(edge, mix(9.0, max(lower, ring - 0.98), front));
    return min(edge, mix(6.2, 5.70, smoothstep(0.30, 0.65, t.z)) - t.y);
}

void main() {
    vec3 t = spot;
    vec4 weave = texture(noise, t * 2.2 + seed);
    vec3 w = t + 0.35 * sin(t.zxy * 2.1 + seed * 3.0);
    vec4 fold = 0.5 + 0.5 * vec4(sin(w.x * 3.1 + w.y * 1.2 + seed) * sin(w.y * 1.7 - w.z * 2.0), sin(w.x * 7.0 - w.y * 3.3 + seed * 2.0),
                                 sin(t.x * 2.3 + seed) * sin(t.y * 1.3), sin(w.y * 5.0 + w.x * 2.0));
    float edge = neckline(t, cut) + (weave.x - 0.5) * 0.006;
    if (layer == 1) edge = min(edge, mix(0.26, 0.17 + 0.9 * max(0.0, 0.24 - abs(abs(t.x) - 0.33)), smoothstep(0.3, 0.7, t.z)) - edge);
    if (layer == 2) edge = min(edge, 0.30 - edge);
    if (edge < 0.0) discard;
    vec3 n = normalize(normal);
    if (!gl_FrontFacing) n = -n;
    float height = (fold.x - 0.5) * 0.10 + (fold.y - 0.5) * (fold.w - 0.3) * 0.04 + (weave.y - 0.5) * 0.003;
    vec3 albedo = cloth;
    if (pattern == 1) albedo = mix(cloth, cloth2, smoothstep(-0.1, 0.1, sin(t.y * 21.0 + 0.4 * fold.z)));
    if (pattern == 2) { height += 0.006 * sin(t.x * 95.0) * (0.6 + 0.4 * sin(t.y * 110.0)); albedo *= 0.9 + 0.1 * sin(t.x * 95.0); }
    if (pattern == 3) {
        float a = smoothstep(-0.15, 0.15, sin(t.x * 26.0)), b = smoothstep(-0.15, 0.15, sin(t.y * 26.0));
        albedo = mix(cloth, cloth2, 0.4 * a + 0.4 * b);
    }
    if (pattern == 4) {
        vec2 cell = fract(t.xy * 4.5 + vec2(0.5 * mod(floor(t.y * 4.5), 2.0), 0.0)) - 0.5;
        albedo = mix(cloth, cloth2, smoothstep(0.2, 0.16, length(cell)));
    }
    if (cut == 5) {   // lapels
        float lapel = neckline(t, 5);
        float notch = smoothstep(0.34, 0.32, lapel + 0.12 * sin(t.y * 3.0)) * step(0.4, t.z) * smoothstep(4.3, 4.4, t.y);
        albedo *= 1.0 - 0.16 * notch;
        height += 0.05 * notch;
    }
    if (cut == 4 && layer == 0 && t.z > 0.3) {
        float placket = smoothstep(0.075, 0.07, abs(t.x));
        height += 0.008 * placket;
        vec2 button = vec2(t.x, fract(t.y * 2.3) / 2.3 - 0.2);
        albedo = mix(albedo, vec3(0.55), 0.8 * smoothstep(0.032, 0.024, length(button)));
    }
    if (cut == 3) height += 0.004 * sin(atan(t.x, t.z - 0.2) * 70.0) * smoothstep(5.3, 5.6, t.y);
    if (cut == 0 || cut == 1 || cut == 2) { float rim = smoothstep(0.09, 0.085, edge); albedo *= 1.0 - 0.10 * rim; height += rim * 0.006; }
    n = bumped(n, position, height);
    albedo *= 0.93 + 0.14 * weave.z;
    float contact = smoothstep(0.0, 0.05, edge);
    vec3 c = shade(albedo, position, n, n, occlusion * mix(0.8, 1.0, contact), vec3(0.15), 12.0, 0.35);
    vec3 view = normalize(eye - position);
    c += albedo * 0.18 * pow(1.0 - max(dot(n, view), 0.0), 3.0) * sky;
    colour = vec4(filmed(c), 1.0);
}
"""
)

# Short hair and beards: thin shells over the skin, each keeping fewer strands than the one below.
FUR = (
    HEADER
    + """
in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;
"""
    + LIGHTING
    + """
uniform vec3 hair; uniform float seed; uniform float level; uniform int region; uniform vec4 form; uniform vec2 extent;

float beard(vec3 t, float fullness, float lip_hair) {
    float x = abs(t.x);
    float top = mix(6.64, 6.98, smoothstep(0.3, 0.78, x));
    float jaw = smoothstep(top + 0.02, top - 0.10, t.y) * smoothstep(5.98, 6.12, t.y) * smoothstep(0.48, 0.64, t.z);
    jaw *= mix(smoothstep(0.45, 0.25, x), 1.0, smoothstep(0.35, 0.6, fullness)) * step(0.01, fullness);
    float lip = smoothstep(0.33, 0.25, x) * smoothstep(6.85, 6.80, t.y) * smoothstep(6.66, 6.70, t.y) * step(1.2, t.z) * min(1.0, 2.0 * lip_hair);
    float side = smoothstep(0.22, 0.27, x) * smoothstep(0.36, 0.30, x) * smoothstep(6.75, 6.68, t.y) * smoothstep(6.2, 6.4, t.y);
    float burn = smoothstep(0.62, 0.7, x) * smoothstep(0.52, 0.6, t.z) * smoothstep(0.85, 0.76, t.z) * smoothstep(7.3, 7.1, t.y);
    return max(max(jaw, lip), max(side * min(fullness, lip_hair), burn * step(6.5, t.y) * step(0.4, fullness)));
}

void main() {
    vec3 t = spot;
    float where = region == 0 ? smoothstep(-0.02, 0.14, scalp) * (1.0 - masks.w) : beard(t, extent.x, extent.y);
    if (region == 1) where *= (1.0 - smoothstep(0.2, 0.5, masks.x)) * (1.0 - smoothstep(0.2, 0.5, masks.y));
    vec3 grid = region == 0 ? vec3(3.4, 2.6, 3.4) : vec3(3.6, 1.8, 3.6);
    float strand = texture(noise, t * grid + seed + vec3(0.0, level * 0.05, 0.0)).y * 0.7 + texture(noise, t * grid * 2.3).w * 0.3;
    if (where * (1.02 - 0.55 * level) < 0.30 + strand * 0.55) discard;
    vec3 n = normalize(normal);
    float clump = texture(noise, t * 0.9 + seed).x;
    n = normalize(n + (texture(noise, t * grid * 0.8 + seed).xyz - 0.5) * 1.1);
    vec3 albedo = hair * (0.45 + 0.65 * level) * (0.75 + 0.5 * clump);
    colour = vec4(filmed(shade(albedo, position, n, normalize(normal), occlusion * (0.5 + 0.5 * level), vec3(0.3), 14.0, 0.7)), 1.0);
}
"""
)

STRAND_VERTEX = (
    HEADER
    + """
uniform mat4 camera;
uniform mat3 head_turn; uniform vec3 head_shift; uniform vec3 pivot; uniform mat3 body_turn; uniform vec3 body_place;
uniform vec3 sway;
in vec3 in_position; in vec3 in_normal; in vec3 in_tangent; in vec4 in_card;   // across, along, random, follow
in float in_ao;
out vec3 position; out vec3 normal; out vec3 tangent; out vec4 card; out float occlusion;
void main() {
    vec3 p = in_position + sway * in_card.y * in_card.y;
    vec3 turned = head_turn * (p - pivot) + pivot + head_shift;
    position = body_turn * mix(p, turned, in_card.w) + body_place;
    normal = body_turn * mix(in_normal, head_turn * in_normal, in_card.w);
    tangent = body_turn * mix(in_tangent, head_turn * in_tangent, in_card.w);
    card = in_card;
    occlusion = in_ao;
    gl_Position = camera * vec4(position, 1.0);
}
"""
)

# Hair cards: a ribbon of strands with Kajiya-Kay highlights.
STRAND = (
    HEADER
    + """
in vec3 position; in vec3 normal; in vec3 tangent; in vec4 card; in float occlusion;
out vec4 colour;
"""
    + LIGHTING
    + """
uniform vec3 hair; uniform float seed; uniform float frizz; uniform float gloss_scale;

void main() {
    float strands = texture(noise, vec3(card.x * 0.42 + card.z * 7.0, card.y * (0.05 + frizz * 0.5), card.z * 3.0)).y;
    float edge = 1.0 - abs(card.x * 2.0 - 1.0);
    float thin = smoothstep(0.55, 1.0, card.y);
    if (strands + edge * 0.9 < 0.52 + 0.55 * thin) discard;
    vec3 n = normalize(normal);
    vec3 along = normalize(tangent + n * (strands - 0.5) * 0.5);
    vec3 view = normalize(eye - position);
    float root = mix(0.55, 1.0, smoothstep(0.0, 0.35, card.y));
    vec3 albedo = hair * (0.62 + 0.75 * strands) * (0.8 + 0.4 * fract(card.z * 13.7)) * root;
    float shadow = lit(position, n);
    vec3 total = albedo * mix(ground, sky, 0.5 + 0.5 * n.y) * occlusion;
    for (int i = 0; i < 3; i++) {
        vec3 l = light_way[i];
        float tl = dot(along, l);
        float wrapped = clamp((dot(n, l) + 0.35) / 1.35, 0.0, 1.0);
        float diffuse = sqrt(max(1.0 - tl * tl, 0.0)) * wrapped;
        vec3 h = normalize(l + view);
        float th = dot(along, h), th2 = dot(normalize(along + n * 0.14), h);
        float first = pow(max(1.0 - th * th, 0.0), 70.0), second = pow(max(1.0 - th2 * th2, 0.0), 22.0);
        float open = i == 0 ? shadow : 1.0;
        total += light_colour[i] * open * mix(0.3, 1.0, occlusion)
               * (albedo * diffuse + wrapped * gloss_scale * (vec3(0.05) * first + albedo * 0.55 * second));
    }
    colour = vec4(filmed(total), 1.0);
}
"""
)

# Plain things: teeth, tongue, lashes, glasses, hats, earrings. `kind` picks the few that need more.
THING = (
    HEADER
    + """
in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;
"""
    + LIGHTING
    + """
uniform vec3 tint; uniform vec3 tint2; uniform int kind; uniform float gloss; uniform float shine; uniform float seed;
uniform float mouth_light;

void main() {
    vec3 n = normalize(normal);
    if (!gl_FrontFacing) n = -n;
    vec3 albedo = tint;
    float ao = occlusion;
    if (kind == 1) {          // teeth: a seam every tooth, gums at the root, darker to the back
        float angle = atan(spot.x, spot.z - 0.92);
        float place = abs(angle) * 7.2;
        float seam = abs(fract(place) - 0.5);
        float tip = masks.x;
        albedo *= 1.0 - 0.55 * smoothstep(0.40, 0.5, seam) * smoothstep(1.05, 0.6, tip);
        vec3 gum = vec3(0.50, 0.16, 0.15);
        float root = smoothstep(0.30 + 0.10 * cos(seam * 6.28), 0.52, tip);
        albedo = mix(albedo, gum, root);
        ao = mix(0.12, 1.5, smoothstep(0.98, 1.40, spot.z)) * mouth_light;
        n = normalize(n + vec3(sin(angle * 45.2) * 0.18, 0.0, 0.0));
    }
    if (kind == 2) {          // tongue
        albedo *= 0.9 + 0.2 * texture(noise, spot * 2.0).x;
        ao = mix(0.06, 0.62, smoothstep(0.95, 1.42, spot.z)) * mouth_light;
    }
    if (kind == 3) {          // lashes: thin strokes that fan out
        float lean = (abs(spot.x) - 0.30) * masks.y * 0.25 * sign(spot.x);
        float stroke = abs(fract((spot.x + lean) * 58.0) - 0.5) * 2.0;
        float reach = 0.55 + 0.4 * texture(noise, vec3(spot.x * 1.7, 0.0, seed)).x;
        reach *= gloss * 0.1;
        if (stroke < 0.25 + 0.75 * masks.y / reach || masks.y > reach) discard;
        ao = 0.6;
    }
    if (kind == 4) {          // knit
        float rib = sin(atan(spot.x, spot.z) * 62.0);
        n = bumped(n, position, 0.012 * rib + 0.004 * sin(spot.y * 90.0));
        albedo *= 0.86 + 0.14 * rib;
    }
    if (kind == 5) {          // soft cloth with folds
        vec3 w = spot + 0.25 * sin(spot.yzx * 2.7 + seed);
        float band = sin(w.y * 9.0 + w.x * 5.0 * sign(spot.x) + seed);
        n = bumped(n, position, 0.022 * band + 0.03 * sin(w.x * 3.0 - w.y * 4.0));
        albedo = mix(tint, tint2, 0.10 + 0.10 * band) * (0.9 + 0.2 * texture(noise, spot * 2.4).y);
    }
    if (kind == 7) {          // scarf: folds run around the face
        if (masks.x < 1.0) discard;
        float ripple = sin(sqrt(masks.x) * 17.0 + sin(spot.x * 3.0 + seed) * 1.4 + 2.0 * sin(spot.y * 1.7));
        n = bumped(n, position, 0.020 * ripple * smoothstep(1.0, 1.3, masks.x));
        albedo *= 0.92 + 0.16 * texture(noise, spot * 2.4).y;
        ao *= mix(0.55, 1.0, smoothstep(1.0, 1.12, masks.x));
    }
    if (kind == 6) {          // felt with a band
        albedo = mix(tint, tint2, masks.x) * (0.9 + 0.2 * texture(noise, spot * 3.0).y);
    }
    vec3 c = shade(albedo, position, n, n, ao, vec3(0.18), gloss, shine);
    colour = vec4(filmed(c), 1.0);
}
"""
)

EYE = (
    HEADER
    + """
in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;
"""
    + LIGHTING
    + """
uniform vec3 iris; uniform mat3 gaze; uniform float seed; uniform float pupil; uniform float lid; uniform float age;

void main() {
    vec3 d = normalize(spot);                 // direction from the eyeball's centre, head frame
    vec3 look = transpose(gaze) * d;          // +z is where the eye looks
    float angle = acos(clamp(look.z, -1.0, 1.0));
    float turn = atan(look.y, look.x);
    float edge = 0.50;                        // radians: iris radius over eyeball radius
    float r = angle / edge;
    vec3 white = mix(vec3(0.80, 0.76, 0.73), vec3(0.76, 0.70, 0.62), age);
    float vein = texture(noise, vec3(turn * 0.8, angle * 0.5, seed)).x;
    white *= mix(vec3(1.0), vec3(1.0, 0.78, 0.76), smoothstep(0.75, 1.3, angle) * (0.5 + 0.5 * vein));
    float fibres = texture(noise, vec3(turn * 2.6, r * 0.12, seed)).y;
    vec3 ring = iris * (0.55 + 0.9 * fibres) * (0.75 + 0.6 * smoothstep(0.9, 0.35, r));
    ring = mix(ring, iris * vec3(1.25, 1.0, 0.7), smoothstep(0.62, 0.40, r) * 0.35);
    ring *= 1.0 - 0.75 * smoothstep(0.78, 1.0, r);
    ring *= smoothstep(pupil - 0.04, pupil + 0.05, r);
    vec3 albedo = mix(ring, white, smoothstep(0.94, 1.08, r));
    vec3 n = normalize(normal);
    float ao = occlusion * mix(0.34, 1.0, smoothstep(lid + 0.02, lid - 0.42, d.y)) * mix(0.62, 1.0, smoothstep(0.98, 0.55, abs(d.x)));
    vec3 c = shade(albedo, position, n, n, ao, vec3(0.30, 0.2, 0.18), 40.0, 0.3);
    // the cornea's wet highlight: window-like reflections of the lights
    vec3 view = normalize(eye - position);
    vec3 bulge = normalize(n + 0.0 * d);
    vec3 mirror = reflect(-view, bulge);
    for (int i = 0; i < 2; i++) {
        float s = dot(mirror, light_way[i]);
        c += light_colour[i] * smoothstep(0.965, 0.985, s) * (i == 0 ? 0.85 : 0.25) * smoothstep(1.4, 0.9, r);
    }
    c += sky * 0.05 * pow(1.0 - max(dot(n, view), 0.0), 2.0);
    colour = vec4(filmed(c), 1.0);
}
"""
)

BACKDROP_VERTEX = (
    HEADER
    + """
in vec2 in_corner; out vec2 uv;
void main() { uv = in_corner * 0.5 + 0.5; gl_Position = vec4(in_corner, 0.9999, 1.0); }
"""
)
BACKDROP = (
    HEADER
    + """
uniform sampler2D picture; in vec2 uv; out vec4 colour;
void main() { colour = vec4(texture(picture, vec2(uv.x, 1.0 - uv.y)).rgb, 1.0); }
"""
)

DEPTH = HEADER + "void main() {}\n"
# hair lets some light through: a share of the ribbons casts no shadow
STRAND_DEPTH = HEADER + "in vec4 card;\nvoid main() { if (fract(card.z * 7.31) < 0.45) discard; }\n"
