#!/bin/sh
# Restore a DICOM slice, and a series that lies in a folder of its own.
set -eu
cd "$(dirname "$0")"
out="${1:-restored}"
rat restore ct_phantom.dcm ct_series --task ct-denoise -o "$out/dicom" --if-exists overwrite
