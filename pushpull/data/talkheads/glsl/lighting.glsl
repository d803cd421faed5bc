uniform vec3 eye;
uniform vec3 light_way[3];
uniform vec3 light_colour[3];
uniform vec3 sky;
uniform vec3 ground;
uniform mat4 shadow_camera;
uniform float shadow_step;
uniform sampler2DShadow shadow_map;
uniform sampler3D noise;
uniform float exposure;

float lit(vec3 p, vec3 n) {
    vec4 q = shadow_camera * vec4(p + n * 0.03, 1.0);
    vec3 c = q.xyz * 0.5 + 0.5;
    c.z -= 0.004;
    float s = shadow_step, sum = 0.0;
#ifdef COARSE
    sum += texture(shadow_map, c + vec3(s * 0.4, s * 0.3, 0)) + texture(shadow_map, c - vec3(s * 0.3, s * 0.4, 0));
    return sum / 2.0;
#else
    sum += texture(shadow_map, c + vec3(s * 0.3, s * 0.1, 0)) + texture(shadow_map, c + vec3(-s * 0.1, s * 0.4, 0));
    sum += texture(shadow_map, c + vec3(-s * 0.6, -s * 0.2, 0)) + texture(shadow_map, c + vec3(s * 0.2, -s * 0.7, 0));
    sum += texture(shadow_map, c + vec3(s, s * 0.5, 0)) + texture(shadow_map, c + vec3(-s * 0.7, s * 0.8, 0));
    return sum / 6.0;
#endif
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
