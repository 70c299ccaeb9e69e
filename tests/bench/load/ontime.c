// An open loop, on time: says "ping 1", "ping 2" and so on when they are due, whether or not those before
// were answered, and counts each round trip from when its message was due. What `client.ts --ping`
// measures, by other means: the reference for its figures.
// usage: ontime PORT COUNT INTERVAL_US
// prints, in ms: {"answered":N,"p50":..,"p99":..,"max":..}
#include "load.h"
#include <poll.h>

#define ROOM 65536
#define PATIENCE 10 // seconds without a reply, after which those that are missing are lost

static struct samples trips;

/** The time, in ms, that so many of a hundred of the sorted round trips did not exceed. */
static double percentile(size_t percent) {
  return trips.count ? trips.at[(trips.count * percent + 99) / 100 - 1] * 1e3 : 0;
}

/** Finds whose reply a line is, by the number in it. */
static void hear(const char *line, double begin, double interval, long count, double time) {
  const char *at = strstr(line, "ping ");
  long number = at ? atol(at + 5) : 0;
  if (number < 1 || number > count) die("a reply to nothing that was said");
  sample(&trips, time - (begin + (number - 1) * interval));
}

int main(int argc, char **argv) {
  if (argc != 4) die("usage: ontime PORT COUNT INTERVAL_US");
  long count = atol(argv[2]), said = 0;
  double interval = atof(argv[3]) * 1e-6;
  prepare();
  int fd = connection(atoi(argv[1]), 1);
  trips = samples();
  static char held[ROOM];
  size_t length = 0;
  double begin = now(), heard_at = begin;
  while ((long)trips.count < count) {
    double time = now();
    for (; said < count && begin + said * interval <= time; said++) {
      char line[32];
      int size = snprintf(line, sizeof line, "ping %ld\n", said + 1);
      if (write(fd, line, size) != size) die("the server takes no more"); // so little always fits
    }
    double left = said < count ? begin + said * interval - now() : 1;
    if (left < 0) left = 0;
    struct timespec until = {(time_t)left, (long)((left - (time_t)left) * 1e9)};
    struct pollfd wish = {.fd = fd, .events = POLLIN};
    if (ppoll(&wish, 1, &until, NULL) < 0) die("cannot wait");
    if (!wish.revents) {
      if (said == count && now() - heard_at > PATIENCE) break;
      continue;
    }
    ssize_t got = read(fd, held + length, sizeof held - 1 - length);
    if (got <= 0) die("the server hung up");
    heard_at = now();
    held[length += got] = 0;
    char *line = held, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
      *end = 0;
      hear(line, begin, interval, count, heard_at);
    }
    memmove(held, line, length -= line - held);
  }
  sort(&trips);
  printf("{\"answered\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n", trips.count,
    percentile(50), percentile(99), percentile(100));
}
