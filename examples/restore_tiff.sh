#!/bin/sh
# Apply 80 % of the restoration to a TIFF in Hounsfield units, and save what was removed.
set -eu
cd "$(dirname "$0")"
out="${1:-restored}"
rat restore ct_phantom.tif --task ct-denoise --unit HU --strength 0.8 --save-residual \
    -o "$out/tiff/" --if-exists overwrite
