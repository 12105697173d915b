#!/bin/sh
# Runs a program where /dev/kfd can be opened and lsmod knows amdgpu, as rocminfo asks before it asks the runtime.
# Everything happens in a mount namespace of its own; $1 is an empty folder to build the new /dev in.
set -e
new=$1
shift
mkdir "$new/bin" "$new/dev"
printf '#!/bin/sh\necho amdgpu 1 0\n' >"$new/bin/lsmod"
chmod +x "$new/bin/lsmod"
mount -t tmpfs none "$new/dev"
for node in null zero full random urandom; do
    : >"$new/dev/$node"
    mount --bind "/dev/$node" "$new/dev/$node"
done
mkdir "$new/dev/shm"
: >"$new/dev/kfd"
mount --rbind "$new/dev" /dev
PATH="$new/bin:$PATH"
export PATH
exec "$@"
