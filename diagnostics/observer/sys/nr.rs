//! The numbers of system calls, by the names of the kernel.

use core::ffi::c_long;

/// Declares calls with their numbers on x86_64 and on aarch64. One that aarch64 lacks gets a number that no call has.
macro_rules! numbers {
    (_ $x86_64:literal) => { c_long::MIN + $x86_64 };
    ($aarch64:literal $x86_64:literal) => { $aarch64 };
    ($($name:ident = $x86_64:literal, $aarch64:tt;)*) => {
        $(pub(crate) const $name: c_long =
            if cfg!(target_arch = "aarch64") { numbers!($aarch64 $x86_64) } else { $x86_64 };)*
    };
}

numbers! {
    READ = 0, 63;
    OPEN = 2, _;
    CLOSE = 3, 57;
    STAT = 4, _;
    FSTAT = 5, 80;
    LSTAT = 6, _;
    RT_SIGACTION = 13, 134;
    RT_SIGPROCMASK = 14, 135;
    RT_SIGRETURN = 15, 139;
    PREAD64 = 17, 67;
    ACCESS = 21, _;
    DUP2 = 33, _;
    GETPID = 39, 172;
    CONNECT = 42, 203;
    BIND = 49, 200;
    CLONE = 56, 220;
    FORK = 57, _;
    VFORK = 58, _;
    EXECVE = 59, 221;
    WAIT4 = 61, 260;
    KILL = 62, 129;
    FCNTL = 72, 25;
    FLOCK = 73, 32;
    TRUNCATE = 76, 45;
    FTRUNCATE = 77, 46;
    GETCWD = 79, 17;
    CHDIR = 80, 49;
    FCHDIR = 81, 50;
    RENAME = 82, _;
    MKDIR = 83, _;
    RMDIR = 84, _;
    CREAT = 85, _;
    LINK = 86, _;
    UNLINK = 87, _;
    SYMLINK = 88, _;
    READLINK = 89, _;
    CHMOD = 90, _;
    FCHMOD = 91, 52;
    CHOWN = 92, _;
    FCHOWN = 93, 55;
    LCHOWN = 94, _;
    UMASK = 95, 166;
    GETEUID = 107, 175;
    GETEGID = 108, 177;
    GETPPID = 110, 173;
    GETPGID = 121, 155;
    RT_SIGQUEUEINFO = 129, 138;
    RT_SIGSUSPEND = 130, 133;
    SIGALTSTACK = 131, 132;
    UTIME = 132, _;
    MKNOD = 133, _;
    STATFS = 137, 43;
    PRCTL = 157, 167;
    GETTID = 186, 178;
    SETXATTR = 188, 5;
    LSETXATTR = 189, 6;
    FSETXATTR = 190, 7;
    FGETXATTR = 193, 10;
    REMOVEXATTR = 197, 14;
    LREMOVEXATTR = 198, 15;
    FUTEX = 202, 98;
    EXIT_GROUP = 231, 94;
    UTIMES = 235, _;
    WAITID = 247, 95;
    OPENAT = 257, 56;
    MKDIRAT = 258, 34;
    MKNODAT = 259, 33;
    FCHOWNAT = 260, 54;
    FUTIMESAT = 261, _;
    NEWFSTATAT = 262, 79;
    UNLINKAT = 263, 35;
    RENAMEAT = 264, 38;
    LINKAT = 265, 37;
    SYMLINKAT = 266, 36;
    READLINKAT = 267, 78;
    FCHMODAT = 268, 53;
    FACCESSAT = 269, 48;
    PSELECT6 = 270, 72;
    PPOLL = 271, 73;
    UTIMENSAT = 280, 88;
    EPOLL_PWAIT = 281, 22;
    DUP3 = 292, 24;
    RT_TGSIGQUEUEINFO = 297, 240;
    RENAMEAT2 = 316, 276;
    SECCOMP = 317, 277;
    EXECVEAT = 322, 281;
    STATX = 332, 291;
    PIDFD_OPEN = 434, 434;
    CLONE3 = 435, 435;
    CLOSE_RANGE = 436, 436;
    OPENAT2 = 437, 437;
    FACCESSAT2 = 439, 439;
    EPOLL_PWAIT2 = 441, 441;
    FCHMODAT2 = 452, 452;
}
