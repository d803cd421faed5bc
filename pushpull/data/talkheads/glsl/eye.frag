in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;

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
