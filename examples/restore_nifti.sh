#!/bin/sh
# Restore a NIfTI volume. The file does not contain its unit, so --unit gives it.
set -eu
cd "$(dirname "$0")"
out="${1:-restored}"
rat restore ct_phantom.nii.gz --task ct-denoise --unit HU -o "$out/nifti/" --if-exists overwrite
