#!/bin/sh
# Puts nicban on this machine, or takes it off again.
#
#   packaging/install.sh [--from DIR]        install, or upgrade
#   packaging/install.sh --uninstall [--keep-nacl] [--purge]
#
# It can be run again at any time. It starts nothing: on a machine that never had
# nicban, the daemon will start detached, so that the first attach is yours.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
from=
act=install
release=yes
purge=no

bin=/usr/bin
units=/etc/systemd/system
sysusers=/etc/sysusers.d
user=nicban
etc=/etc/nicban
state=/var/lib/nicban
run=/run/nicban
pins=/sys/fs/bpf/nicban
fail2ban=/etc/fail2ban

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
booted() { [ -d /run/systemd/system ]; }

while [ $# -gt 0 ]; do
    case $1 in
        --from) [ $# -ge 2 ] || die "--from needs a folder"; from=$2; shift ;;
        --uninstall) act=uninstall ;;
        --keep-nacl) release=no ;;
        --purge) purge=yes ;;
        -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) die "unknown option $1; see --help" ;;
    esac
    shift
done
[ "$(id -u)" -eq 0 ] || die "must be run as root"

# A program of that name: in --from, else where cargo puts the released ones.
program() {
    for folder in ${from:+"$from"} ${from:-"$here/target/$2"}; do
        if [ -x "$folder/$1" ]; then
            printf '%s\n' "$folder/$1"
            return
        fi
    done
    die "no $1 in ${from:-$here/target/$2}; build it first, see packaging/README.md"
}

# A file of the distribution's, replaced at once and not written over: a running
# program keeps its own.
place() {
    install -D -m "$1" "$2" "$3.new"
    mv -f "$3.new" "$3"
    say "installed $3"
}

do_install() {
    daemon=$(program nicban release)
    action=$(program nicban-action action)
    "$daemon" --version >/dev/null || die "$daemon does not run here"

    place 755 "$daemon" "$bin/nicban"
    place 755 "$action" "$bin/nicban-action"
    place 644 "$here/packaging/sysusers.d/nicban.conf" "$sysusers/nicban.conf"
    systemd-sysusers "$sysusers/nicban.conf"
    id "$user" >/dev/null 2>&1 || die "systemd-sysusers has not made the user $user, which the daemon runs as"
    for unit in nicban.service nicban.socket nicban-pins.service; do
        place 644 "$here/packaging/systemd/$unit" "$units/$unit"
    done
    if [ -e "$etc/nicban.toml" ]; then
        say "kept      $etc/nicban.toml"
        "$bin/nicban" daemon --check || die "this version does not take $etc/nicban.toml; nothing was restarted"
    else
        place 644 "$here/packaging/nicban.toml" "$etc/nicban.toml"
    fi
    if [ -d "$fail2ban" ]; then
        place 644 "$here/fail2ban/action.d/nicban.conf" "$fail2ban/action.d/nicban.conf"
        place 644 "$here/fail2ban/action.d/nicban-unban.conf" "$fail2ban/action.d/nicban-unban.conf"
        place 644 "$here/fail2ban/jail.d/nicban.conf" "$fail2ban/jail.d/nicban.conf"
    else
        say "no $fail2ban: install fail2ban and run this again"
    fi

    # Root's until the next start: systemd then gives all of it to the user, and a
    # daemon that still runs as root goes on meanwhile.
    [ -d "$state" ] || install -d -m 700 "$state"
    first=no
    [ -e "$state/nicban.db" ] || first=yes
    # Written before the first start, it keeps the daemon from attaching by itself.
    if [ $first = yes ]; then
        "$bin/nicban" detach --direct >/dev/null
        [ -e "$state/detached" ] || die "cannot write $state/detached"
    fi
    if booted; then
        systemctl daemon-reload
    fi

    if [ $first = yes ]; then
        say "next: nicban nacl test                               (on EC2)"
        say "      systemctl enable --now nicban.socket nicban.service"
        say "      nicban attach --confirm 60s"
        say "      systemctl restart fail2ban"
        return
    fi
    # An uninstallation keeps the store, and with it the marks that it left.
    if systemctl is-enabled --quiet nicban.service 2>/dev/null; then
        say "next: systemctl restart nicban.service"
    else
        say "next: systemctl enable --now nicban.socket nicban.service"
    fi
    if [ -e "$state/detached" ]; then
        say "      nicban attach --confirm 60s                    (detached: see $state/detached)"
    fi
    if [ -e "$state/released" ]; then
        say "      nicban nacl resume                             (its NACL entries were released)"
    fi
    say "      fail2ban-client reload                         (if its files changed)"
}

do_uninstall() {
    [ -x "$bin/nicban" ] || die "$bin/nicban is not there, and only it can take its entries out of a NACL"

    # First, so that nothing starts the daemon again through its socket.
    rm -f "$fail2ban/action.d/nicban.conf" "$fail2ban/action.d/nicban-unban.conf" "$fail2ban/jail.d/nicban.conf"
    if command -v fail2ban-client >/dev/null && fail2ban-client ping >/dev/null 2>&1; then
        fail2ban-client reload >/dev/null || say "fail2ban does not reload: look at its log"
    fi
    if booted; then
        systemctl disable --now nicban.socket nicban.service || true
    fi
    if [ $release = yes ] && [ -e "$state/nicban.db" ]; then
        "$bin/nicban" nacl release --direct || die "nicban's entries may still stand in a NACL, and $state/nicban.db is the only record of which are its own; run this again when AWS answers, or with --keep-nacl to leave them in"
    fi
    "$bin/nicban" detach --direct
    if [ -d "$pins" ]; then
        rm -r "$pins"
    fi
    rm -f "$bin/nicban" "$bin/nicban-action" "$sysusers/nicban.conf" \
        "$units/nicban.service" "$units/nicban.socket" "$units/nicban-pins.service"
    # systemd leaves the socket's path where it was.
    rm -rf "$run"
    if booted; then
        systemctl daemon-reload
    fi
    if [ $purge = yes ]; then
        rm -rf "$etc" "$state"
        # Nothing is its own any more, so that its number may be another's.
        if id "$user" >/dev/null 2>&1; then
            userdel "$user" || say "the user $user is still there: userdel $user"
        fi
        say "uninstalled, with configuration, store and user"
    else
        say "uninstalled; $etc, $state and the user $user, whose it is, are kept (--purge removes them)"
    fi
}

do_$act
