"""Writes small image files and, beside each, the pixels that Pillow's convert("RGB") gives, as NAME.rgb. Needs Pillow and numpy."""
import os
import struct

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 16, 12
y, x = np.mgrid[0:H, 0:W]
rgb = Image.fromarray(np.stack([x * 17, y * 23, 255 - x * 8 - y * 10], -1).astype(np.uint8))
inks = np.asarray(rgb.convert("CMYK")).copy()
inks[..., 3] = y * 9
inks[:4, :4] = (0, 0, 0, 127)  # grey 128, which a profile makes 188
cmyk = Image.fromarray(inks, "CMYK")


def save(name, image, **how):
    image.save(os.path.join(HERE, name), **how)


def again(name, of, change):
    with open(os.path.join(HERE, of), "rb") as file:
        data = file.read()
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(change(data))


def profile():
    """A display profile with Adobe RGB's primaries."""
    def fixed(v):
        return struct.pack(">i", round(v * 65536))

    def xyz(v):
        return b"XYZ " + bytes(4) + b"".join(map(fixed, v))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 563) + b"\0\0"
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"A\0" + bytes(78)
    text += bytes(-len(text) % 4)
    tags = [(b"desc", text), (b"cprt", b"text" + bytes(4) + b"none"), (b"wtpt", xyz((.9642, 1, .8249))),
            (b"rXYZ", xyz((.60974, .31111, .01947))), (b"gXYZ", xyz((.20528, .62567, .06087))), (b"bXYZ", xyz((.14919, .06322, .74457))),
            (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve)]
    at = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags:
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I", at + len(body)) + b"lcms" + struct.pack(">I", 0x02100000) + b"mntrRGB XYZ " + struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + fixed(.9642) + fixed(1) + fixed(.8249) + b"lcms" + bytes(44)
    return head + table + body


def marker(number, content):
    return struct.pack(">HH", 0xff00 + number, len(content) + 2) + content


def without_jfif(data):
    at = data.find(b"\xff\xe0")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


def named_rgb(data):
    data = bytearray(without_jfif(data))
    frame, scan = data.find(b"\xff\xc0"), data.find(b"\xff\xda")
    for i, name in enumerate(b"RGB"):
        data[frame + 10 + 3 * i] = name
        data[scan + 5 + 2 * i] = name
    return bytes(data)


def four(data):
    data = bytearray(data)
    data[data.find(b"Adobe") + 11] = 2
    return bytes(data)


turned = Image.Exif()
turned[0x0112] = 6
save("rgb.jpg", rgb, quality=95)
save("rgb-444.jpg", rgb, quality=95, subsampling=0)
save("progressive.jpg", rgb, quality=95, progressive=True)
save("grey.jpg", rgb.convert("L"), quality=95)
save("cmyk.jpg", cmyk, quality=95, subsampling=0)
save("profile.jpg", rgb, quality=95, icc_profile=profile())
save("turned.jpg", rgb, quality=95, exif=turned)
again("ycck.jpg", "cmyk.jpg", four)
again("adobe-rgb.jpg", "rgb-444.jpg", lambda data: data[:2] + marker(0xee, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0)) + without_jfif(data)[2:])
again("named-rgb.jpg", "rgb-444.jpg", named_rgb)
again("unnamed.jpg", "rgb-444.jpg", without_jfif)
save("profile.png", rgb, icc_profile=profile())
save("palette.png", rgb.quantize(40), transparency=3)
save("alpha.png", Image.merge("RGBA", (*rgb.split(), Image.fromarray((y * 20).astype(np.uint8)))))
save("palette.gif", rgb.quantize(40))
save("rgb.bmp", rgb)
save("cmyk.tif", cmyk)
save("lzw.tif", rgb, compression="tiff_lzw")
save("white-is-zero.tif", rgb.convert("L"), tiffinfo={262: 0})
for name in sorted(os.listdir(HERE)):
    if not name.endswith((".py", ".rgb")):
        with open(os.path.join(HERE, name + ".rgb"), "wb") as file:
            file.write(np.asarray(Image.open(os.path.join(HERE, name)).convert("RGB")).tobytes())
