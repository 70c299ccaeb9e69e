// An open loop, on time: sends "ping 1", "ping 2" and so on when they are due, whether or not those before
// were answered, and counts each round trip from when its message was due. This is what `client.ts --ping`
// measures, by other means: the reference for its figures.
// usage: ontime PORT COUNT INTERVAL_US [CONNECTIONS]
//   each connection sends a message every INTERVAL_US, the connections in turn; COUNT is for all
// prints, in ms: {"answered":N,"p50":..,"p99":..,"max":..}
#include "load.h"

#define EVENTS 1024
#define TIMEOUT 10 // seconds without a reply, after which those that are missing are lost

struct client {
  int fd;
  size_t length;
  char held[4096];
};

static struct samples trips;

/** The time, in ms, that so many of a hundred of the sorted round trips did not exceed. */
static double percentile(size_t percent) {
  return trips.count ? trips.at[(trips.count * percent + 99) / 100 - 1] * 1e3 : 0;
}

/** Finds the message that a line answers, by the number in it. */
static void match(const char *line, double begin, double period, long count, double time) {
  const char *at = strstr(line, "ping ");
  long number = at ? atol(at + 5) : 0;
  if (number < 1 || number > count) die("a reply to nothing that was sent");
  sample(&trips, time - (begin + (number - 1) * period));
}

int main(int argc, char **argv) {
  if (argc < 4) die("usage: ontime PORT COUNT INTERVAL_US [CONNECTIONS]");
  long count = atol(argv[2]), sent = 0, connections = argc > 4 ? atol(argv[4]) : 1;
  double period = atof(argv[3]) * 1e-6 / connections;
  prepare();
  struct client *clients = room(connections * sizeof *clients);
  int poller = epoll_create1(0);
  for (long at = 0; at < connections; at++) {
    clients[at].fd = connection(atoi(argv[1]), 1);
    struct epoll_event wish = {.events = EPOLLIN, .data.ptr = &clients[at]};
    epoll_ctl(poller, EPOLL_CTL_ADD, clients[at].fd, &wish);
  }
  trips = samples();
  struct epoll_event events[EVENTS];
  double begin = now(), received_at = begin;
  while ((long)trips.count < count) {
    double time = now();
    for (; sent < count && begin + sent * period <= time; sent++) {
      char line[32];
      int size = snprintf(line, sizeof line, "ping %ld\n", sent + 1);
      if (write(clients[sent % connections].fd, line, size) != size) die("the server takes no more");
    }
    double due = sent < count ? begin + sent * period : now() + 1;
    int ready = wait_until(poller, events, EVENTS, due);
    if (!ready && sent == count && now() - received_at > TIMEOUT) break;
    for (int at = 0; at < ready; at++) {
      struct client *one = events[at].data.ptr;
      ssize_t got = read(one->fd, one->held + one->length, sizeof one->held - 1 - one->length);
      if (got <= 0) die("the server hung up");
      received_at = now();
      one->held[one->length += got] = 0;
      char *line = one->held, *end;
      for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        match(line, begin, period, count, received_at);
      }
      memmove(one->held, line, one->length -= line - one->held);
    }
  }
  sort(&trips);
  printf("{\"answered\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n", trips.count,
    percentile(50), percentile(99), percentile(100));
}
