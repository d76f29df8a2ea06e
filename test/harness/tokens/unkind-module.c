/*
 * A PKCS#11 module in front of another one, for tests: each call takes longer, and chosen calls fail or never return.
 *
 *   WV_UNKIND_MODULE    the real module
 *   WV_UNKIND_DELAY_US  what every call takes on top, in microseconds
 *   WV_UNKIND_CALLS     "58=0x31,34=hang": the function of that number in CK_FUNCTION_LIST answers 0x31, or hangs
 *   WV_UNKIND_WHEN      only while this file exists; without it, always
 *
 * CK_FUNCTION_LIST is a version and 68 pointers (PKCS #11 v2.40, section 5.3), and no function takes more than eight arguments, each of
 * which fits in a register: so one wrapper does for all of them, and no header is needed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FUNCTIONS 68
typedef unsigned long word;
typedef word (*function)(word, word, word, word, word, word, word, word);
struct list { unsigned char version[2]; function call[FUNCTIONS]; };

static struct list ours, *real;
static long delay_us;
static const char *when;
static int chosen[FUNCTIONS]; /* 0: as the real one, -1: hangs, else the answer */

static void rest(long us) {
  struct timespec time = { us / 1000000, (us % 1000000) * 1000 };
  nanosleep(&time, NULL);
}

static word pass(int n, word a, word b, word c, word d, word e, word f, word g, word h) {
  if (delay_us > 0) rest(delay_us);
  if (chosen[n] != 0 && (when == NULL || access(when, F_OK) == 0)) {
    while (chosen[n] < 0) rest(1000000);
    return (word)chosen[n];
  }
  return real->call[n](a, b, c, d, e, f, g, h);
}

#define WRAP(n) \
  static word wrap##n(word a, word b, word c, word d, word e, word f, word g, word h) { return pass(n, a, b, c, d, e, f, g, h); }
#define EACH(X) \
  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) \
  X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32) X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) X(41) X(42) X(43) X(44) X(45) \
  X(46) X(47) X(48) X(49) X(50) X(51) X(52) X(53) X(54) X(55) X(56) X(57) X(58) X(59) X(60) X(61) X(62) X(63) X(64) X(65) X(66) X(67)
EACH(WRAP)

static void choose(const char *calls) {
  for (const char *at = calls; at != NULL && *at != 0; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    char *value;
    long n = strtol(at, &value, 10);
    if (n < 0 || n >= FUNCTIONS || *value != '=') return;
    chosen[n] = strncmp(value + 1, "hang", 4) == 0 ? -1 : (int)strtol(value + 1, NULL, 0);
  }
}

word C_GetFunctionList(struct list **out) {
  if (real == NULL) {
    const char *delay = getenv("WV_UNKIND_DELAY_US");
    void *module = dlopen(getenv("WV_UNKIND_MODULE"), RTLD_NOW);
    word (*get)(struct list **) = module == NULL ? NULL : (word (*)(struct list **))dlsym(module, "C_GetFunctionList");
    if (get == NULL || get(&real) != 0) return 5;
    memcpy(ours.version, real->version, 2);
#define SET(n) ours.call[n] = wrap##n;
    EACH(SET)
    delay_us = delay == NULL ? 0 : atol(delay);
    when = getenv("WV_UNKIND_WHEN");
    choose(getenv("WV_UNKIND_CALLS"));
  }
  *out = &ours;
  return 0;
}
