// One client at full speed while another measures its round trips. Both live in this one process, and
// a turn of the first is small (tens of µs), so that what the second measures is the server.
// usage: flood PORT SIZE WARM_UP SECONDS     SIZE 0: newlines alone
#include "load.h"

#define TURN 65536
#define PING 16

static size_t size, reply_size;

static void flood_say(int fd, const char *words, size_t length, size_t *said) {
  ssize_t count = write(fd, words + *said, length - *said);
  if (count < 0 && errno != EAGAIN) die("cannot write");
  if (count > 0) *said = (*said + count) % length;
}

/** Hears some replies; gives how many were whole. */
static long flood_hear(int fd, const char *message) {
  static char heard[2 * TURN], checked[TURN];
  static size_t held;
  static time_t checked_at;
  ssize_t count = read(fd, heard + held, TURN);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count <= 0) die("the server hung up");
  held += count;
  size_t at = 0, whole = 0;
  time_t second = time(NULL);
  for (; at + reply_size <= held; at += reply_size, whole++) {
    // Within a second all replies are the same.
    if (checked_at == second && !memcmp(heard + at, checked, reply_size)) continue;
    check(heard + at, message, size);
    memcpy(checked, heard + at, reply_size);
    checked_at = second;
  }
  memmove(heard, heard + at, held -= at);
  return whole;
}

static void ping(int fd, char *line, unsigned number) {
  snprintf(line, PING + 1, "pinging %08x", number);
  char out[PING + 1];
  memcpy(out, line, PING);
  out[PING] = '\n';
  if (write(fd, out, sizeof out) != sizeof out) die("cannot write");
}

int main(int argc, char **argv) {
  if (argc != 5) die("usage: flood PORT SIZE WARM_UP SECONDS");
  int port = atoi(argv[1]);
  size = atoi(argv[2]);
  reply_size = size + AROUND;
  double warm_up = atof(argv[3]), seconds = atof(argv[4]);
  prepare();
  size_t length = TURN / (size + 1) * (size + 1), said = 0, heard = 0;
  char *words = room(length), reply[PING + AROUND + 1], line[PING + 1];
  for (size_t i = 0; i < length; i++) words[i] = i % (size + 1) == size ? '\n' : 'f';

  int flood = connection(port, 1), quiet = connection(port, 1), poller = epoll_create1(0);
  struct epoll_event wish = {EPOLLIN | EPOLLOUT, {.fd = flood}};
  epoll_ctl(poller, EPOLL_CTL_ADD, flood, &wish);
  wish = (struct epoll_event){EPOLLIN, {.fd = quiet}};
  epoll_ctl(poller, EPOLL_CTL_ADD, quiet, &wish);

  struct samples trips = samples();
  long flooded = 0;
  unsigned pings = 0;
  double time = now(), begin = time + warm_up, end = begin + seconds, since = time;
  ping(quiet, line, pings);
  struct epoll_event events[2];
  for (; time < end; time = now()) {
    int ready = epoll_wait(poller, events, 2, 50);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.fd != quiet) continue; // first, so as not to wait for the flood's turn
      ssize_t count = read(quiet, reply + heard, sizeof reply - heard);
      if (count <= 0) die("the server hung up");
      heard += count;
      errno = 0;
      if (heard > PING + AROUND) die("more than a reply");
      if (heard < PING + AROUND) continue;
      check(reply, line, PING);
      heard = 0;
      double done = now();
      if (done >= begin) sample(&trips, done - since);
      since = done;
      ping(quiet, line, ++pings);
    }
    for (int i = 0; i < ready; i++) {
      if (events[i].data.fd != flood) continue;
      if (events[i].events & EPOLLOUT) flood_say(flood, words, length, &said);
      if (!(events[i].events & ~EPOLLOUT)) continue;
      long whole = flood_hear(flood, words);
      if (time >= begin) flooded += whole;
    }
  }
  sample(&trips, time - since); // who is kept waiting for good must show too
  sort(&trips);
  printf("{\"trips\":%zu,\"p50\":%f,\"p99\":%f,\"worst\":%f,\"flooded\":%f}\n", trips.count,
         part(&trips, .5), part(&trips, .99), part(&trips, 1), flooded / seconds);
}
