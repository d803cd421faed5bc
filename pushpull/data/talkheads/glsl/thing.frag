in vec3 position; in vec3 normal; in vec3 spot; in vec4 masks; in float occlusion; in float scalp;
out vec4 colour;

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
