in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;

uniform vec3 hair; uniform float seed; uniform float level; uniform int region; uniform vec4 form; uniform vec2 extent;

float beard(vec3 t, float fullness, float lip_hair) {
    float x = abs(t.x);
    float top = mix(6.64, 6.98, smoothstep(0.3, 0.78, x));
    float jaw = smoothstep(top + 0.02, top - 0.10, t.y) * smoothstep(5.98, 6.12, t.y) * smoothstep(0.48, 0.64, t.z);
    jaw *= mix(smoothstep(0.45, 0.25, x), 1.0, smoothstep(0.35, 0.6, fullness)) * step(0.01, fullness);
    float lip = smoothstep(0.37, 0.27, x) * smoothstep(0.02, -0.03, t.y - (6.835 - 0.9 * x * x)) * smoothstep(-0.03, 0.01, t.y - (6.68 - 0.6 * x * x)) * step(1.15, t.z) * min(1.0, 2.0 * lip_hair);
    float side = smoothstep(0.22, 0.27, x) * smoothstep(0.36, 0.30, x) * smoothstep(6.75, 6.68, t.y) * smoothstep(6.2, 6.4, t.y);
    float burn = smoothstep(0.62, 0.7, x) * smoothstep(0.52, 0.6, t.z) * smoothstep(0.85, 0.76, t.z) * smoothstep(7.3, 7.1, t.y);
    return max(max(jaw, lip), max(side * min(fullness, lip_hair), burn * step(6.5, t.y) * step(0.4, fullness)));
}

void main() {
    vec3 t = spot;
    float where = region == 0 ? smoothstep(-0.02, 0.14, scalp) * (1.0 - masks.w) : beard(t, extent.x, extent.y);
    if (region == 1) where *= (1.0 - smoothstep(0.02, 0.2, masks.w)) * (1.0 - smoothstep(0.2, 0.5, masks.x)) * (1.0 - smoothstep(0.2, 0.5, masks.y));
    vec3 grid = region == 0 ? vec3(3.4, 2.6, 3.4) : vec3(3.6, 1.8, 3.6);
    float strand = texture(noise, t * grid + seed + vec3(0.0, level * 0.05, 0.0)).y * 0.7 + texture(noise, t * grid * 2.3).w * 0.3;
    if (where * (1.02 - 0.55 * level) < 0.30 + strand * 0.55) discard;
    vec3 n = normalize(normal);
    float clump = texture(noise, t * 0.9 + seed).x;
    n = normalize(n + (texture(noise, t * grid * 0.8 + seed).xyz - 0.5) * 1.1);
    vec3 albedo = hair * (0.45 + 0.65 * level) * (0.75 + 0.5 * clump);
    colour = vec4(filmed(shade(albedo, position, n, normalize(normal), occlusion * (0.5 + 0.5 * level), vec3(0.3), 14.0, 0.7)), 1.0);
}
