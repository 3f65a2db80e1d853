"""A program that could be in any language: throws a ball, prints a JSON object."""

import json
import math
import sys

SPEED, GRAVITY, STEP_S = 10.0, 9.81, 1e-3


def main(angle: float) -> None:
    speed_x, speed_y = SPEED * math.cos(math.radians(angle)), SPEED * math.sin(math.radians(angle))
    x = y = 0.0
    while y >= 0:
        x, y, speed_y = x + speed_x * STEP_S, y + speed_y * STEP_S, speed_y - GRAVITY * STEP_S
    print(json.dumps({"distance": x}))


if __name__ == "__main__":
    main(float(sys.argv[1]))
