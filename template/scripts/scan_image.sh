#!/bin/sh
# `make scan-image`: lists known vulnerabilities of the production image, including its Debian packages.
# It fails for severe ones that have a fix. Exits with 3 if nothing could be scanned.
set -u
image=$1

if command -v trivy >/dev/null 2>&1; then
    found=10
    trivy image --quiet --severity HIGH,CRITICAL --ignore-unfixed --exit-code "$found" "$image"
elif command -v grype >/dev/null 2>&1; then
    found=2
    grype --quiet --only-fixed --fail-on high "$image"
else
    echo "make scan-image: nothing was scanned: install trivy or grype" >&2
    exit 3
fi
ended=$?

case $ended in
    0) echo "make scan-image: $image has no severe vulnerability with a fix" ;;
    "$found") echo "make scan-image: $image has severe vulnerabilities with a fix:
update the base image or the packages" >&2; exit 1 ;;
    *) echo "make scan-image: no result: the scanner failed ($ended).
Can it reach its database?" >&2; exit 3 ;;
esac
