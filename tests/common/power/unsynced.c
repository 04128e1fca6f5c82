/*
 * Notes what a program has synced, so that a test can take away the rest: what
 * a power cut leaves at worst.
 *
 * Loaded into the program by LD_PRELOAD. It takes the place of fsync and
 * fdatasync: of a file below POWER_DISK they copy the content into POWER_MIRROR,
 * of a directory the names. Nothing else counts as synced. The other calls are
 * looked at for speed only: they tell which part of a file has to be copied
 * again. A call that is missed here makes the test lose more, never less.
 *
 * POWER_MIRROR/files/INODE  the content of a file when it was synced
 * POWER_MIRROR/dirs/INODE   lines of inode, type and name
 * POWER_MIRROR/held/INODE   a second link to the file, so that its inode is not
 *                           given to another one
 *
 * POWER_CUT=n ends the program in the place of its nth sync. POWER_DELAY is the
 * longest time, in microseconds, that a sync waits before it does anything:
 * meanwhile more is written, and a test can kill the program.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLOTS 65536

/* The part of a file that has changed since it was synced. */
struct dirty {
    ino_t inode;
    int synced; /* once by this process */
    off_t from, to;
};

static struct dirty files[SLOTS];
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t mirror_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *disk, *mirror;
static dev_t device;
static long cut, longest_delay;

static void fail(const char *what) {
    fprintf(stderr, "unsynced: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void begin(void) {
    struct stat st;
    const char *number;
    disk = getenv("POWER_DISK");
    mirror = getenv("POWER_MIRROR");
    if (!disk || !mirror || stat(disk, &st) != 0)
        fail("POWER_DISK and POWER_MIRROR");
    device = st.st_dev;
    if ((number = getenv("POWER_CUT")))
        cut = atol(number);
    if ((number = getenv("POWER_DELAY")))
        longest_delay = atol(number);
}

/* The slot of a file; files_lock is held. */
static struct dirty *slot(ino_t inode) {
    for (size_t i = 0; i < SLOTS; i++) {
        struct dirty *found = &files[(inode + i) % SLOTS];
        if (found->inode == 0)
            found->inode = inode;
        if (found->inode == inode)
            return found;
    }
    abort();
}

static int is_file_of_disk(int fd, struct stat *st) {
    return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_dev == device;
}

static void note(int fd, off_t from, off_t to) {
    struct stat st;
    int before = errno;
    if (disk && from < to && is_file_of_disk(fd, &st)) {
        pthread_mutex_lock(&files_lock);
        struct dirty *file = slot(st.st_ino);
        if (file->from == file->to) {
            file->from = from;
            file->to = to;
        } else {
            file->from = from < file->from ? from : file->from;
            file->to = to > file->to ? to : file->to;
        }
        pthread_mutex_unlock(&files_lock);
    }
    errno = before;
}

/* What was written where the file stands now. */
static void note_behind(int fd, ssize_t written) {
    struct stat st;
    int before = errno;
    if (disk && written > 0 && is_file_of_disk(fd, &st)) {
        off_t end = lseek(fd, 0, SEEK_CUR);
        note(fd, end - written, end);
    }
    errno = before;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t written = syscall(SYS_write, fd, bytes, count);
    note_behind(fd, written);
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t written = syscall(SYS_writev, fd, parts, count);
    note_behind(fd, written);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, count, at);
    note(fd, at, at + written);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return pwrite64(fd, bytes, count, at);
}

int ftruncate64(int fd, off64_t length) {
    struct stat st;
    int known = fstat(fd, &st) == 0;
    int result = syscall(SYS_ftruncate, fd, length);
    if (known && result == 0)
        note(fd, length, st.st_size);
    return result;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count,
                        unsigned flags) {
    ssize_t copied = syscall(SYS_copy_file_range, in, in_at, out, out_at, count, flags);
    if (out_at)
        note(out, *out_at - copied, *out_at);
    else
        note_behind(out, copied);
    return copied;
}

/* A path in the mirror. */
static const char *place(char *path, const char *kind, ino_t inode) {
    snprintf(path, PATH_MAX, "%s/%s/%llu", mirror, kind, (unsigned long long)inode);
    return path;
}

static void copy_bytes(int from, int to, off_t at, off_t end) {
    static char buffer[65536]; /* mirror_lock is held */
    while (at < end) {
        size_t most = end - at < (off_t)sizeof buffer ? (size_t)(end - at) : sizeof buffer;
        ssize_t count = pread(from, buffer, most, at);
        if (count < 0)
            fail("reading what is synced");
        if (count == 0)
            return;
        if (syscall(SYS_pwrite64, to, buffer, count, at) != count)
            fail("writing the mirror");
        at += count;
    }
}

/* Copies a part. It may be ended in the middle, as a real sync may be. */
static void copy_part(int fd, int to, off_t at, off_t end) {
    char own[64];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    int readable = open(own, O_RDONLY | O_CLOEXEC);
    if (readable < 0)
        fail("opening what is synced");
    while (at < end) {
        off_t data = lseek(readable, at, SEEK_DATA);
        if (data < 0 || data > end)
            data = end;
        if (data > at && fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, data - at))
            fail("a hole in the mirror");
        off_t hole = data < end ? lseek(readable, data, SEEK_HOLE) : end;
        if (hole < 0 || hole > end)
            hole = end;
        copy_bytes(readable, to, data, hole);
        at = hole;
    }
    close(readable);
}

static void sync_file(int fd, ino_t inode) {
    char path[PATH_MAX], own[64];
    struct stat st;
    pthread_mutex_lock(&files_lock);
    struct dirty *file = slot(inode);
    off_t from = file->from, to = file->to;
    int whole = !file->synced;
    file->from = file->to = 0;
    file->synced = 1;
    pthread_mutex_unlock(&files_lock);

    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    linkat(AT_FDCWD, own, AT_FDCWD, place(path, "held", inode), AT_SYMLINK_FOLLOW);
    int copy = open(place(path, "files", inode), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (copy < 0 || fstat(fd, &st) != 0 || syscall(SYS_ftruncate, copy, st.st_size) != 0)
        fail("the mirror of a file");
    if (whole)
        copy_part(fd, copy, 0, st.st_size);
    else
        copy_part(fd, copy, from, to < st.st_size ? to : st.st_size);
    close(copy);
}

static void sync_directory(const char *directory, ino_t inode) {
    char path[PATH_MAX], fresh[PATH_MAX + 8], held[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s.new", place(path, "dirs", inode));
    FILE *list = fopen(fresh, "w");
    DIR *names = opendir(directory);
    if (!list || !names)
        fail("the mirror of a directory");
    struct dirent *entry;
    while ((entry = readdir(names))) {
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (fstatat(dirfd(names), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* gone just now */
        if (S_ISREG(st.st_mode))
            linkat(dirfd(names), entry->d_name, AT_FDCWD, place(held, "held", st.st_ino), 0);
        fprintf(list, "%llu %c %s\n", (unsigned long long)st.st_ino,
                S_ISDIR(st.st_mode) ? 'd' : 'f', entry->d_name);
    }
    closedir(names);
    if (fclose(list) != 0 || rename(fresh, path) != 0)
        fail("the mirror of a directory");
}

static int synced(int fd, long call) {
    static long count; /* of syncs */
    char own[64], path[PATH_MAX];
    struct stat st;
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(own, path, sizeof path - 1);
    if (length < 0 || strncmp(path, disk, strlen(disk)) != 0 || fstat(fd, &st) != 0)
        return syscall(call, fd);
    path[length] = 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (number == cut)
        kill(getpid(), SIGKILL);
    if (longest_delay > 0)
        usleep((useconds_t)((uint32_t)number * 2654435761u >> 8) % longest_delay);
    pthread_mutex_lock(&mirror_lock);
    if (S_ISDIR(st.st_mode))
        sync_directory(path, st.st_ino);
    else
        sync_file(fd, st.st_ino);
    pthread_mutex_unlock(&mirror_lock);
    return 0;
}

int fsync(int fd) {
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd) {
    return synced(fd, SYS_fdatasync);
}
