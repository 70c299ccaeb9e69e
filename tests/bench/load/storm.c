// Everybody at once: opens all connections without waiting, says one line on each, and tells when the
// last was answered. Then holds them open, silent, until its standard input ends.
// usage: storm PORT CONNECTIONS
#include "load.h"

#define PATIENCE 20 // seconds; who has no reply by then is unanswered
#define MOST 64

enum state { CONNECTING, WAITING, ANSWERED, FAILED };

struct caller {
  int fd, heard;
  enum state state;
  char reply[MOST];
};

static int poller;

static int name(const struct caller *all, const struct caller *who, char *to) {
  return snprintf(to, MOST - AROUND, "hello %ld", (long)(who - all));
}

static void watch(struct caller *who, int how, unsigned what) {
  struct epoll_event event = {what, {.ptr = who}};
  if (epoll_ctl(poller, how, who->fd, &event)) die("cannot watch a connection");
}

static enum state speak(struct caller *all, struct caller *who) {
  char line[MOST];
  int length = name(all, who, line);
  line[length] = '\n';
  if (write(who->fd, line, length + 1) != length + 1) return FAILED; // refused, too
  watch(who, EPOLL_CTL_MOD, EPOLLIN);
  return WAITING;
}

static enum state listen_to(struct caller *all, struct caller *who) {
  char line[MOST];
  int length = name(all, who, line), due = length + AROUND;
  int count = read(who->fd, who->reply + who->heard, MOST - who->heard);
  if (count <= 0) return FAILED;
  who->heard += count;
  if (who->heard < due) return WAITING;
  errno = 0;
  if (who->heard > due) die("more than a reply");
  check(who->reply, line, length);
  return ANSWERED;
}

int main(int argc, char **argv) {
  if (argc != 3) die("usage: storm PORT CONNECTIONS");
  int port = atoi(argv[1]), count = atoi(argv[2]), over = 0, failed = 0;
  prepare();
  poller = epoll_create1(0);
  struct caller *callers = room(count * sizeof *callers);
  double begin = now(), time = begin;
  for (int i = 0; i < count; i++) {
    callers[i].fd = connection(port, 0);
    watch(&callers[i], EPOLL_CTL_ADD, EPOLLOUT);
  }
  struct epoll_event events[1024];
  while (over < count && time < begin + PATIENCE) {
    int ready = epoll_wait(poller, events, 1024, 100);
    for (int i = 0; i < ready; i++) {
      struct caller *who = events[i].data.ptr;
      who->state = who->state == CONNECTING ? speak(callers, who) : listen_to(callers, who);
      if (who->state == WAITING) continue;
      over++;
      failed += who->state == FAILED;
      epoll_ctl(poller, EPOLL_CTL_DEL, who->fd, NULL);
    }
    time = now();
  }
  printf("{\"seconds\":%f,\"unanswered\":%d}\n", time - begin, count - over + failed);
  fflush(stdout);
  char nothing;
  while (read(0, &nothing, 1) > 0) {}
}
