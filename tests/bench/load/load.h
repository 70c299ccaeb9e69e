// What the load programs share: connecting, the clock, and the check of every reply's bytes.
#ifndef LOAD_H
#define LOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // strptime
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STAMP 24               // ctime's text, without its LF
#define AROUND (STAMP + 4)     // "[" and "] " and the stamp and LF
#define CLOCKS_APART 60        // seconds between a stamp and our own clock
#define HANGS 60               // seconds after which a load program is ended by the system

static inline void die(const char *what) {
  fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static inline void *room(size_t bytes) {
  void *place = calloc(1, bytes ? bytes : 1);
  if (!place) die("no memory");
  return place;
}

/** Seconds of a clock that doesn't jump. */
static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/** Processor seconds of this process. */
static inline double own_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/** Processor seconds (utime + stime) of another process and all its threads. */
static inline double cpu_of(int pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (length < 0) die("cannot read the server's CPU time");
  close(fd);
  text[length] = 0;
  char *past_name = strrchr(text, ')'); // a name may hold anything, brackets too
  unsigned long user, kernel;
  if (!past_name || sscanf(past_name + 1,
      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
    die("cannot understand the server's CPU time");
  return (double)(user + kernel) / sysconf(_SC_CLK_TCK);
}

/** As many files as may be, and an end to whatever hangs. */
static inline void prepare(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  alarm(HANGS);
}

/**
 * A non-blocking connection to 127.0.0.1; `wait`: only once it is made. It is reset
 * when it closes: tens of thousands in TIME_WAIT would slow the connections of the next row.
 */
static inline int connection(int port, int wait) {
  int fd = socket(AF_INET, SOCK_STREAM | (wait ? 0 : SOCK_NONBLOCK), 0);
  if (fd < 0) die("cannot make a socket");
  int one = 1;
  struct linger reset = {1, 0};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS) die("cannot connect");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

/** Waits for events until a time, to the microsecond; gives how many there are. */
static inline int wait_until(int poller, struct epoll_event *events, int most, double due) {
  double left = due - now();
  if (left < 0) left = 0;
  struct timespec pause = {(time_t)left, (long)((left - (time_t)left) * 1e9)};
  struct pollfd wish = {.fd = poller, .events = POLLIN};
  if (ppoll(&wish, 1, &pause, NULL) < 0) die("cannot wait");
  return wish.revents ? epoll_wait(poller, events, most, 0) : 0;
}

/** Whether these 24 bytes are ctime's text of a time near now. */
static inline int is_stamp(const char *stamp) {
  static char good[STAMP];
  if (!memcmp(stamp, good, STAMP)) return 1;
  char text[STAMP + 1] = {0}, again[64];
  memcpy(text, stamp, STAMP);
  struct tm tm = {.tm_isdst = -1};
  if (!strptime(text, "%a %b %e %H:%M:%S %Y", &tm)) return 0;
  strftime(again, sizeof again, "%a %b %e %H:%M:%S %Y", &tm);
  if (strcmp(text, again)) return 0; // strptime is lenient about spaces
  if (labs((long)(mktime(&tm) - time(NULL))) > CLOCKS_APART) return 0;
  memcpy(good, stamp, STAMP);
  return 1;
}

/** Ends the program unless this is the reply to that message, which has `size` bytes and no ending. */
static inline void check(const char *reply, const char *message, size_t size) {
  if (reply[0] == '[' && !memcmp(reply + 1, message, size) &&
      !memcmp(reply + 1 + size, "] ", 2) && is_stamp(reply + size + 3) &&
      reply[size + AROUND - 1] == '\n') return;
  errno = 0;
  fprintf(stderr, "a wrong reply: %.*s", (int)(size + AROUND), reply);
  die("");
}

/** Round trips, in seconds. */
struct samples {
  float *at;
  size_t count, most;
};

static inline struct samples samples(void) {
  struct samples new = {.most = 8 << 20};
  new.at = malloc(new.most * sizeof *new.at); // touched only as far as it fills
  if (!new.at) die("no memory");
  return new;
}

static inline void sample(struct samples *all, double seconds) {
  if (all->count < all->most) all->at[all->count++] = seconds;
}

static inline int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static inline void sort(struct samples *all) {
  qsort(all->at, all->count, sizeof *all->at, by_size);
}

/** The sample below which that part of the sorted ones lies, in µs. */
static inline double part(const struct samples *all, double below) {
  if (!all->count) return 0;
  size_t at = all->count * below;
  return all->at[at < all->count ? at : all->count - 1] * 1e6;
}

#endif
