// A server that answers each line by itself, as late as it is told: the other end of ontime.c. One
// connection at a time. It reads all the time, but for a stall, in which it does nothing at all.
// usage: delays DELAY EVERY LATE AT STALL
//   each reply comes DELAY ms after its message; each EVERYth, LATE ms later than that (0: none);
//   before it reads message number AT, the server stalls for STALL ms (0: never)
#include "load.h"
#include <poll.h>

#define ROOM 65536
#define MOST 65536 // replies that wait

struct reply {
  double due;
  char text[80];
};

static struct reply waiting[MOST];
static long first, end; // of those that wait; some between are sent already, their time is 0

static void send_due(int fd, double time) {
  for (long at = first; at < end; at++) {
    struct reply *one = &waiting[at % MOST];
    if (!one->due || one->due > time) continue;
    size_t size = strlen(one->text);
    if (write(fd, one->text, size) != (ssize_t)size) die("cannot write");
    one->due = 0;
  }
  while (first < end && !waiting[first % MOST].due) first++;
}

/** Seconds until the next reply is due; 1 if there is none. */
static double until_due(double time) {
  double least = 1;
  for (long at = first; at < end; at++) {
    double due = waiting[at % MOST].due;
    if (due && due - time < least) least = due - time;
  }
  return least < 0 ? 0 : least;
}

static void serve(int fd, double delay, long every, double late, long at, double stall) {
  static char held[ROOM];
  size_t length = 0;
  long heard = 0;
  first = end = 0;
  for (;;) {
    double left = until_due(now());
    struct timespec until = {(time_t)left, (long)((left - (time_t)left) * 1e9)};
    struct pollfd wish = {.fd = fd, .events = POLLIN};
    if (ppoll(&wish, 1, &until, NULL) < 0) die("cannot wait");
    if (wish.revents) {
      if (stall && heard + 1 == at) {
        struct timespec pause = {(time_t)stall, (long)((stall - (time_t)stall) * 1e9)};
        nanosleep(&pause, NULL);
      }
      ssize_t got = read(fd, held + length, sizeof held - 1 - length);
      if (got <= 0) return;
      double time = now();
      held[length += got] = 0;
      char *line = held, *lf;
      for (; (lf = strchr(line, '\n')); line = lf + 1) {
        *lf = 0;
        if (end - first == MOST) die("too many replies wait");
        struct reply *one = &waiting[end++ % MOST];
        one->due = time + delay + (every && ++heard % every == 0 ? late : 0);
        if (!every) heard++;
        snprintf(one->text, sizeof one->text, "[%.40s] now\n", line);
      }
      memmove(held, line, length -= line - held);
    }
    send_due(fd, now());
  }
}

int main(int argc, char **argv) {
  if (argc != 6) die("usage: delays DELAY EVERY LATE AT STALL");
  prepare();
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in here = {.sin_family = AF_INET};
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (bind(listener, (void *)&here, size) || listen(listener, 16)) die("cannot listen");
  getsockname(listener, (void *)&here, &size);
  printf("listening on 127.0.0.1:%d\n", ntohs(here.sin_port));
  fflush(stdout);
  for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    serve(fd, atof(argv[1]) * 1e-3, atol(argv[2]), atof(argv[3]) * 1e-3, atol(argv[4]), atof(argv[5]) * 1e-3);
  }
}
