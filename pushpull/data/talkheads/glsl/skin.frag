in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;

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
    float lip = smoothstep(0.37, 0.27, x) * smoothstep(0.02, -0.03, t.y - (6.835 - 0.9 * x * x)) * smoothstep(-0.03, 0.01, t.y - (6.68 - 0.6 * x * x)) * step(1.15, t.z);
    float burn = smoothstep(0.62, 0.7, x) * smoothstep(0.52, 0.6, t.z) * smoothstep(0.85, 0.76, t.z) * smoothstep(7.3, 7.1, t.y);
    return clamp(max(max(jaw, lip), burn * step(6.5, t.y)), 0.0, 1.0) * (1.0 - masks.x) * (1.0 - masks.w);
}

void main() {
    vec3 t = spot;
    float x = abs(t.x);
    float front = smoothstep(0.75, 1.05, t.z);
#ifdef COARSE
    vec4 fine = vec4(0.5);   // finer than a pixel
#else
    vec4 fine = texture(noise, t * 3.1 + seed);
#endif
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
    float middle = 7.475 + growth.w * 0.018 + (0.012 + 0.04 * form.x) * sin(clamp(along, 0.0, 1.0) * 2.7) - 0.035 * along * along + 0.018 * (1.0 - along);
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
    if (inside > 0.01) ao = mix(ao, mix(0.45, 0.03, deep) * mouth_light, inside);

    float gloss = mix(26.0, 70.0, lip);
    float oily = form.z * (0.75 + 0.7 * bump2(vec2(t.x / 0.22, (t.y - 7.1) / 0.6)) * front) * (1.0 - 0.6 * cover) * (1.0 - 0.7 * browed);
    float shine = mix(oily * (0.7 + 0.6 * fine.w), 1.5 + marks.w, lip);
    shine = mix(shine, 0.25, inside) * (1.0 - 0.6 * chin * growth.x);
    vec3 wrap = mix(vec3(0.42, 0.16, 0.11), vec3(0.24, 0.12, 0.09), form.w);
    colour = vec4(filmed(shade(albedo, position, n, soft, ao, wrap, gloss, shine)), 1.0);
}
