"""Takes from the wheels in a directory what a CPU needs of libtorch: unpack.py WHEELS DESTINATION"""

import pathlib
import shutil
import sys
import zipfile

wheels, destination = map(pathlib.Path, sys.argv[1:])
LIBRARIES = {
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cuda_runtime/lib/libcudart.so.12",
    "nvidia/cuda_cupti/lib/libcupti.so.12",
}
HEADERS = "torch/include/"

found = set()
for wheel in wheels.glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename
            if name in LIBRARIES:
                target = destination / "lib" / pathlib.PurePosixPath(name).name
            elif name.startswith(HEADERS) and not entry.is_dir():
                target = destination / "include" / name.removeprefix(HEADERS)
            else:
                continue
            found.add(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)

missing = sorted(LIBRARIES - found)
if missing:
    sys.exit(f"the wheels do not hold {', '.join(missing)}")
