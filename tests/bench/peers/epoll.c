// The practical limit: C, epoll, one thread. All lines of a read are answered by one write, and a
// client that doesn't take its replies is not read from until it does.
#define _GNU_SOURCE // accept4, mempcpy
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ 65536
#define LONGEST 65536 // message
#define STAMP 24
#define AROUND (STAMP + 4) // "[" and "] " and the stamp and LF

struct client {
  int fd, ended;
  char *held; // the beginning of a line, or NULL
  size_t held_length;
  char *due; // replies the kernel had no room for, or NULL
  size_t due_length;
};

static int poller;
static char in[LONGEST + READ];
static char out[(LONGEST + READ) * (AROUND + 1)];
static char stamp[32];

static void renew_stamp(void) {
  static time_t made;
  time_t second = time(NULL);
  if (second != made) ctime_r(&second, stamp);
  made = second;
}

static void hang_up(struct client *who) {
  close(who->fd);
  free(who->held);
  free(who->due);
  free(who);
}

static char *keep(const char *bytes, size_t length) {
  return length ? memcpy(malloc(length), bytes, length) : NULL;
}

static void watch(struct client *who, unsigned what) {
  struct epoll_event event = {what, {.ptr = who}};
  epoll_ctl(poller, EPOLL_CTL_MOD, who->fd, &event);
}

/** Whether the client is still there. */
static int send_out(struct client *who, const char *bytes, size_t length) {
  ssize_t count = length ? write(who->fd, bytes, length) : 0;
  if (count < 0 && errno != EAGAIN) return hang_up(who), 0;
  if (count < 0) count = 0;
  char *before = who->due;
  who->due = keep(bytes + count, length - count);
  who->due_length = length - count;
  free(before); // `bytes` may lie in it
  if (!before != !who->due) watch(who, who->due ? EPOLLOUT : EPOLLIN);
  if (who->ended && !who->due) return hang_up(who), 0;
  return 1;
}

static void hear(struct client *who) {
  size_t have = who->held ? who->held_length : 0;
  if (have > 0) memcpy(in, who->held, have);
  ssize_t count = read(who->fd, in + have, READ);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return hang_up(who);
  who->ended = count == 0;
  char *line = in, *end = in + have + count, *to = out, *from = in + have;
  renew_stamp();
  for (char *lf; (lf = memchr(from, '\n', end - from)); line = from = lf + 1) {
    *to++ = '[';
    to = mempcpy(to, line, lf - line);
    *to++ = ']';
    *to++ = ' ';
    to = mempcpy(to, stamp, STAMP);
    *to++ = '\n';
  }
  if (end - line > LONGEST) return hang_up(who);
  free(who->held);
  who->held_length = end - line;
  who->held = keep(line, who->held_length);
  send_out(who, out, to - out);
}

static void welcome(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0) return;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct client *who = calloc(1, sizeof *who);
  who->fd = fd;
  struct epoll_event event = {EPOLLIN, {.ptr = who}};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in at = {.sin_family = AF_INET};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  if (bind(listener, (void *)&at, sizeof at) || listen(listener, 4096) ||
      getsockname(listener, (void *)&at, &length)) return perror("cannot listen"), 1;
  poller = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.ptr = NULL}}, events[256];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
  fflush(stdout);
  for (;;) {
    int ready = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      struct client *who = events[i].data.ptr;
      if (!who) welcome(listener);
      else if (who->due) send_out(who, who->due, who->due_length);
      else hear(who);
    }
  }
}
