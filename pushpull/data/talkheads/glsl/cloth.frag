in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;

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
    float bottom = kind == 1 ? 4.72 : kind == 2 ? 4.98 : kind == 4 ? 5.12 : kind == 5 ? 3.9 : kind == 0 ? 5.36 : 9.0;
    float slope = kind == 2 ? 1.9 : kind == 5 ? 0.46 : 0.62;
    float lower = kind == 2 ? (bottom - t.y) + 0.5 * x * x : x - (t.y - bottom) * slope;
    if (kind == 1 || kind == 4 || kind == 5) edge = min(edge, mix(9.0, lower * 0.85, front));
    if (kind == 2) edge = min(edge, mix(9.0, max(lower, ring - 0.98), front));
    if (kind == 0) edge = min(edge, mix(9.0, bottom - t.y + 1.1 * x * x, front));
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
