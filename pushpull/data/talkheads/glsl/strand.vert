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
