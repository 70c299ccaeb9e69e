// A steady load, closed loop: every connection says DEPTH messages at once, waits for all their
// replies, and says them again. One thread, epoll. Every byte of every reply is checked.
// usage: steady PORT SERVER_PID CONNECTIONS DEPTH SIZE WARM_UP SECONDS
#include "load.h"

struct talker {
  int fd, full;       // full: the kernel took only part of what was said
  size_t said, heard; // bytes of the batch
  char *replies;      // what is being heard
  char *checked;      // the replies last found right,
  time_t checked_at;  // and when
  double since;
  long answered;      // messages, while measuring
};

static int poller, depth;
static size_t size, batch, replies;

/** Message number `index` of a talker: told apart from all others, so that a mixed-up reply is seen. */
static void write_message(char *to, int talker, int index) {
  char name[32];
  int length = snprintf(name, sizeof name, "%d.%d.", talker, index);
  memset(to, 'a' + (talker + index) % 26, size);
  memcpy(to, name, (size_t)length < size ? (size_t)length : size);
  to[size] = '\n';
}

static void say(struct talker *who, const char *what) {
  while (who->said < batch) {
    ssize_t count = write(who->fd, what + who->said, batch - who->said);
    if (count < 0 && errno != EAGAIN) die("cannot write");
    if (count < 0) break;
    who->said += count;
  }
  int full = who->said < batch;
  if (full == who->full) return;
  who->full = full;
  struct epoll_event event = {EPOLLIN | (full ? EPOLLOUT : 0), {.ptr = who}};
  epoll_ctl(poller, EPOLL_CTL_MOD, who->fd, &event);
}

/** Within a second the replies repeat to the byte: comparing with the last good ones is cheap. */
static void check_all(struct talker *who, const char *said) {
  time_t second = time(NULL);
  if (who->checked_at == second && !memcmp(who->replies, who->checked, replies)) return;
  for (int i = 0; i < depth; i++)
    check(who->replies + i * (size + AROUND), said + i * (size + 1), size);
  memcpy(who->checked, who->replies, replies);
  who->checked_at = second;
}

/** Whether the whole batch is answered. */
static int hear(struct talker *who, const char *said) {
  // One byte more than is due, so that a reply too many is seen.
  ssize_t count = read(who->fd, who->replies + who->heard, replies + 1 - who->heard);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count <= 0) die("the server hung up");
  who->heard += count;
  if (who->heard < replies) return 0;
  errno = 0;
  if (who->heard > replies) die("more replies than messages");
  check_all(who, said);
  return 1;
}

static int by_count(const void *a, const void *b) {
  long x = *(const long *)a, y = *(const long *)b;
  return (x > y) - (x < y);
}

/** Connects and is answered once. Whoever speaks later is accepted: how fast that goes, storm.c tells. */
static void greet(struct talker *who, int port, const char *said) {
  who->fd = connection(port, 1);
  struct epoll_event event = {EPOLLIN, {.ptr = who}};
  epoll_ctl(poller, EPOLL_CTL_ADD, who->fd, &event);
  say(who, said);
  while (!hear(who, said)) { // nobody else speaks
    epoll_wait(poller, &event, 1, -1);
    say(who, said);
  }
  who->said = who->heard = 0;
}

int main(int argc, char **argv) {
  if (argc != 8) die("usage: steady PORT SERVER_PID CONNECTIONS DEPTH SIZE WARM_UP SECONDS");
  int port = atoi(argv[1]), pid = atoi(argv[2]), count = atoi(argv[3]);
  depth = atoi(argv[4]);
  size = atoi(argv[5]);
  double warm_up = atof(argv[6]), seconds = atof(argv[7]);
  batch = (size + 1) * depth;
  replies = (size + AROUND) * depth;
  prepare();

  poller = epoll_create1(0);
  struct talker *talkers = room(count * sizeof *talkers);
  char *words = room(count * batch);
  for (int i = 0; i < count; i++) {
    struct talker *who = &talkers[i];
    for (int j = 0; j < depth; j++) write_message(words + i * batch + j * (size + 1), i, j);
    who->replies = room(replies + 1);
    who->checked = room(replies);
    greet(who, port, words + i * batch);
  }

  struct samples trips = samples();
  double begin = now() + warm_up, end = begin + seconds, began = 0, time = now();
  double server = 0, own = 0;
  long messages = 0;
  for (int i = 0; i < count; i++) {
    talkers[i].since = now();
    say(&talkers[i], words + i * batch);
  }
  struct epoll_event events[1024];
  for (; time < end; time = now()) {
    if (!began && time >= begin) {
      server = cpu_of(pid);
      own = own_cpu();
      began = now();
    }
    int ready = epoll_wait(poller, events, 1024, 50);
    for (int i = 0; i < ready; i++) {
      struct talker *who = events[i].data.ptr;
      const char *what = words + (who - talkers) * batch;
      if (events[i].events & EPOLLOUT) say(who, what);
      if (!(events[i].events & ~EPOLLOUT) || !hear(who, what)) continue;
      double heard = now();
      if (began) {
        sample(&trips, heard - who->since);
        who->answered += depth;
        messages += depth;
      }
      who->since = heard;
      who->said = who->heard = 0;
      say(who, what);
    }
  }
  server = cpu_of(pid) - server;
  own = own_cpu() - own;
  seconds = time - began;

  long *answered = room(count * sizeof *answered);
  int unanswered = 0;
  for (int i = 0; i < count; i++) {
    answered[i] = talkers[i].answered;
    unanswered += !answered[i];
    sample(&trips, time - talkers[i].since); // who is kept waiting for good must show too
  }
  qsort(answered, count, sizeof *answered, by_count);
  sort(&trips);
  printf("{\"messages\":%ld,\"seconds\":%f,\"p50\":%f,\"p99\":%f,\"p999\":%f,\"unanswered\":%d,"
         "\"tenth\":%ld,\"median\":%ld,\"serverCpu\":%f,\"loadCpu\":%f}\n",
         messages, seconds, part(&trips, .5), part(&trips, .99), part(&trips, .999), unanswered,
         answered[count / 10], answered[count / 2], server, own);
}
