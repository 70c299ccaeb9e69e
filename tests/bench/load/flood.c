// One client at full speed while another measures its round trips: it says a message each 2 ms, whether
// or not those before were answered, and counts from when each was due. Both live in this one process,
// and a turn of the first is small (tens of µs), so that what the second measures is the server.
// usage: flood PORT SIZE WARM_UP SECONDS     SIZE 0: newlines alone
#include "load.h"

#define TURN 65536
#define PING 16
#define INTERVAL 2e-3 // from one ping to the next, in seconds

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

static struct samples trips;
static unsigned pings, answered; // said and answered
static double first;             // when the first was due

static double due(unsigned number) { return first + number * INTERVAL; }

static void ping(int fd) {
  char line[PING + 2];
  snprintf(line, sizeof line, "pinging %08x\n", pings++);
  if (write(fd, line, PING + 1) != PING + 1) die("cannot write"); // so little always fits
}

/** Hears what is here of the replies; those to what was due since `begin` count. */
static void hear_pings(int fd, double begin) {
  static char heard[TURN];
  static size_t held;
  ssize_t count = read(fd, heard + held, TURN - held);
  if (count <= 0) die("the server hung up");
  errno = 0;
  size_t at = 0;
  double time = now();
  for (held += count; at + PING + AROUND <= held; at += PING + AROUND, answered++) {
    char line[PING + 1];
    snprintf(line, sizeof line, "pinging %08x", answered);
    check(heard + at, line, PING);
    if (due(answered) >= begin) sample(&trips, time - due(answered));
  }
  memmove(heard, heard + at, held -= at);
}

int main(int argc, char **argv) {
  if (argc != 5) die("usage: flood PORT SIZE WARM_UP SECONDS");
  int port = atoi(argv[1]);
  size = atoi(argv[2]);
  reply_size = size + AROUND;
  double warm_up = atof(argv[3]), seconds = atof(argv[4]);
  prepare();
  size_t length = TURN / (size + 1) * (size + 1), said = 0;
  char *words = room(length);
  for (size_t i = 0; i < length; i++) words[i] = i % (size + 1) == size ? '\n' : 'f';

  int flood = connection(port, 1), quiet = connection(port, 1), poller = epoll_create1(0);
  struct epoll_event wish = {EPOLLIN | EPOLLOUT, {.fd = flood}};
  epoll_ctl(poller, EPOLL_CTL_ADD, flood, &wish);
  wish = (struct epoll_event){EPOLLIN, {.fd = quiet}};
  epoll_ctl(poller, EPOLL_CTL_ADD, quiet, &wish);

  trips = samples();
  long flooded = 0;
  double time = now(), begin = time + warm_up, end = begin + seconds;
  first = time;
  struct epoll_event events[2];
  for (; time < end; time = now()) {
    while (due(pings) <= time) ping(quiet);
    int ready = epoll_wait(poller, events, 2, (due(pings) - time) * 1e3); // the rest of a ms without waiting
    for (int i = 0; i < ready; i++) {
      if (events[i].data.fd == quiet) hear_pings(quiet, begin); // before the flood's turn
    }
    for (int i = 0; i < ready; i++) {
      if (events[i].data.fd != flood) continue;
      if (events[i].events & EPOLLOUT) flood_say(flood, words, length, &said);
      if (!(events[i].events & ~EPOLLOUT)) continue;
      long whole = flood_hear(flood, words);
      if (time >= begin) flooded += whole;
    }
  }
  for (; answered < pings; answered++) sample(&trips, time - due(answered)); // who waits must show
  sort(&trips);
  printf("{\"trips\":%zu,\"p50\":%f,\"p99\":%f,\"worst\":%f,\"flooded\":%f}\n", trips.count,
         part(&trips, .5), part(&trips, .99), part(&trips, 1), flooded / seconds);
}
