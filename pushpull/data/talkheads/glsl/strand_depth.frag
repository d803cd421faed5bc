in vec4 card;
void main() { if (fract(card.z * 7.31) < 0.45) discard; }
