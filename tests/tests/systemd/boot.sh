#!/bin/sh
# Boots systemd as the first process of a machine of its own: a copy of this one's
# files that is forgotten at the end, with no unit of this one's configuration.
#
#   boot.sh enter FOLDER PROGRAMS SOURCES PREPARE   in the machine's network namespace
#   boot.sh clean FOLDER                            when the machine is gone
#   boot.sh sweep FOLDER                            what machines left whose tests were killed
#
# FOLDER is empty; the first process's id, as seen from outside, comes to FOLDER/pid.
# PREPARE is a script that runs in the machine just before systemd does.
set -eu
stage=$1
folder=$2
group=$folder/cgroup/nicban-$(basename "$folder")
root=$folder/layers/root

# Nothing of this is to be done to the machine outside: a second mount of the one
# cgroup2 hierarchy, and a group in it that systemd takes for the whole.
enter() {
    exec unshare --mount --propagation private sh "$0" group "$@"
}

group() {
    mkdir "$folder/cgroup"
    mount -t cgroup2 none "$folder/cgroup"
    mkdir "$group"
    echo $$ >"$group/cgroup.procs"
    exec unshare --fork --kill-child --pid --mount --uts --ipc --cgroup sh "$0" root "$@"
}

clean() {
    exec unshare --mount --propagation private sh "$0" rmdir "$@"
}

rmdir_groups() {
    mount -t cgroup2 none "$folder/cgroup"
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
}

sweep() {
    exec unshare --mount --propagation private sh "$0" rmdir_dead "$@"
}

# A group has its folder's name, and that the process id of its owner. Fails while one
# that was just killed is not empty yet.
rmdir_dead() {
    mount -t cgroup2 none "$folder"
    for left in "$folder"/nicban-nicban-*-machine; do
        owner=${left#"$folder"/nicban-nicban-}
        [ -d "$left" ] && [ ! -d "/proc/${owner%%-*}" ] || continue
        echo 1 >"$left/cgroup.kill"
        find "$left" -depth -type d -exec rmdir {} +
    done
}

root() {
    # /proc is still the outer one.
    read -r pid _ </proc/self/stat
    mkdir "$folder/layers"
    mount -t tmpfs -o mode=755 none "$folder/layers"
    mkdir "$folder/layers/upper" "$folder/layers/work" "$root"
    mount -t overlay -o "lowerdir=/,upperdir=$folder/layers/upper,workdir=$folder/layers/work" none "$root"

    # What belongs to the kernel and not to a namespace is read-only.
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    for tunable in sys sysrq-trigger irq bus; do
        [ -e "$root/proc/$tunable" ] || continue
        mount --bind "$root/proc/$tunable" "$root/proc/$tunable"
        mount -o remount,bind,ro "$root/proc/$tunable"
    done
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
    # As systemd mounts it on a machine that is no container.
    mount -t bpf -o nosuid,nodev,noexec,mode=700 bpf "$root/sys/fs/bpf"

    mount -t tmpfs -o mode=755 none "$root/dev"
    for device in null zero full random urandom tty; do
        : >"$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    : >"$root/dev/console"
    mount --bind /dev/null "$root/dev/console"
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=1777 none "$root/dev/shm"
    mount -t tmpfs -o mode=755 none "$root/run"
    mount -t tmpfs -o mode=1777 none "$root/tmp"

    rm -rf "$root/etc/systemd/system" "$root/var/log/journal" "$root"/etc/rc?.d \
        "$root/etc/nicban" "$root/var/lib/nicban" \
        "$root/usr/bin/nicban" "$root/usr/bin/nicban-action"
    : >"$root/etc/fstab"
    mkdir -p "$root/etc/systemd/system"
    ln -s /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    for unit in getty.target proc-sys-fs-binfmt_misc.automount systemd-binfmt.service \
        systemd-journal-flush.service systemd-logind.service systemd-timesyncd.service \
        systemd-udev-trigger.service systemd-udevd.service dbus.service dbus.socket; do
        ln -s /dev/null "$root/etc/systemd/system/$unit"
    done

    mkdir "$root/machine" "$root/machine/programs" "$root/machine/sources" "$root/machine/outer"
    mount --bind "$3" "$root/machine/programs"
    mount --bind "$4" "$root/machine/sources"
    cp "$5" "$root/machine/prepare"
    echo "$pid" >"$folder/pid"

    cd "$root"
    pivot_root . machine/outer
    # The clock, the hardware and the modules are the outer machine's.
    exec chroot . sh -ec '
        umount -l /machine/outer
        hostname machine
        sh -e /machine/prepare
        exec env -i container=nicban-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            setpriv --bounding-set -sys_boot,-sys_module,-sys_rawio,-sys_time,-syslog \
            /lib/systemd/systemd --show-status=no' </dev/null
}

shift
case $stage in
    rmdir) rmdir_groups ;;
    root) root - "$@" ;;
    enter|group|clean|sweep|rmdir_dead) "$stage" "$@" ;;
esac
