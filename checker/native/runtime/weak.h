/*
 * What the steps of a model call under the weak memory model.
 *
 * A state is the packed state, in which memory holds the latest value of each location, and behind it the messages and
 * views as a stream of bits (weakbits.h).  A step that reads is made once for each message that it may
 * read; what it makes of the packed state goes to weak_put(), which does the rest.
 */
#ifndef LZ_WEAK_H
#define LZ_WEAK_H

#include "model.h"

/* Before and after all steps of a state. */
void weak_begin(const struct state *from, struct sink *x);
void weak_end(struct sink *x);

/* The messages of a location that a step may read, as bits; one where there is no location, and it sees the latest values. */
unsigned weak_choices(const struct sink *x, uint32_t rule, int location);

/* The words that steps look at, with the value of a message in place of the latest. */
void weak_view(const struct sink *x, int location, int message, uint64_t *s);

/* A step was made: on these words, with this message of its location (-1: none, or several), to `n`. */
void weak_put(struct sink *x, uint32_t rule, int location, int message, const uint64_t *s, struct state n);

/* The walkers that the step to be put tells all that its agent knows, as bits. */
void weak_tell(struct sink *x, uint64_t walkers);

/* A fault is possible. */
void weak_fault(struct sink *x, uint32_t rule, int location);

/* Steps that may be put off: at a place with some, first of all; one is (`late`: its number), and its thread goes on to `n`. */
void weak_place(struct sink *x);
void weak_put_off(struct sink *x, uint32_t rule, unsigned late, int location, struct state n);

/* What was put off is made, by the function of its thread. */
typedef void weak_steps(const struct state *from, struct sink *x);
void weak_make(struct sink *x, weak_steps *const *steps);

#endif
