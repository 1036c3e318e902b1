/* Preloaded into one process: its wall clock is wrong by what the file SHIFTED_CLOCK says, its other clocks are right.

   The file holds two 64-bit numbers: nanoseconds to add, and how many answers have been shifted. A test writes the
   first and reads the second. Children share both. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

struct shift { int64_t add; int64_t answers; };

static struct shift *the_shift;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void open_shift(void)
{
    const char *path = getenv("SHIFTED_CLOCK");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (file >= 0) {
        void *memory = mmap(NULL, sizeof *the_shift, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        the_shift = memory == MAP_FAILED ? NULL : memory;
        close(file);
    }
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    int done;
    if (!real_gettime)
        real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    done = real_gettime(clock, at);
    if (!done && the_shift && the_shift->add && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t nanoseconds = at->tv_sec * 1000000000LL + at->tv_nsec + the_shift->add;
        at->tv_sec = nanoseconds / 1000000000LL;
        at->tv_nsec = nanoseconds % 1000000000LL;
        __atomic_add_fetch(&the_shift->answers, 1, __ATOMIC_RELAXED);
    }
    return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

/* Setting a clock by hand ends its synchronization, whatever the real clock of this machine is. */
int adjtimex(struct timex *ask)
{
    (void)ask;
    return TIME_ERROR;
}
