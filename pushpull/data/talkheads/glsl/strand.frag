in vec3 position; in vec3 normal; in vec3 tangent; in vec4 card; in float occlusion;
out vec4 colour;

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
