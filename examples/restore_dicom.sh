#!/bin/sh
# Restore a DICOM file, and a DICOM series in a folder.
set -eu
cd "$(dirname "$0")"
out="${1:-restored}"
rat restore ct_phantom.dcm ct_series --task ct-denoise -o "$out/dicom" --if-exists overwrite
