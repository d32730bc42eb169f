/* What the engine and the generated part of a model know of each other. */
#ifndef LZ_STATE_H
#define LZ_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef LZ_WORDS
#error "LZ_WORDS, the number of 64-bit words in a state, comes from the command line"
#endif

#define LZ_LIKELY(x) __builtin_expect(!!(x), 1)
#define LZ_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Successors that are hashed and prefetched before the first of them is looked up. */
enum { LZ_BATCH = 64 };

struct state {
	uint64_t w[LZ_WORDS];
};

/* One successor, for searches that want to see them instead of storing them. */
struct step {
	uint32_t rule;
	bool fault;
	uint64_t missteps; /* properties that the step violates */
	struct state concrete;
	struct state canonical;
};

struct steps {
	struct step *at;
	size_t count, room;
};

/* Where one thread's successors go. */
struct sink {
	const struct state *source;
	uint64_t enabled;     /* transitions of `source` so far */
	uint64_t faults;      /* properties that a fault of `source` violates, and bit 63 for any fault */
	uint64_t *fired;      /* by rule */
	struct steps *listen; /* if set, successors are listed there and not stored */
	bool strong;          /* hashes stand for states: see state_fingerprint() */
	bool sweep;           /* successors are looked up, not stored: see leak.c */
	uint32_t owner;       /* the number of `source` */
	bool undefined;       /* null was used as an index in an action */
	bool outgrown;        /* a variable got a value outside its type */
	bool dropped;         /* weak memory: a message had to go that could still have been read, */
	bool refused;         /* an access was not put off as too many were already, */
	bool cramped;         /* and a state did not fit into its words */
	void *memory;         /* what weakmachine.h works on */
	uint64_t *slots;      /* the table, for prefetching */
	unsigned shift;
	unsigned pending;
	uint64_t hashes[LZ_BATCH];
	uint32_t owners[LZ_BATCH];
	uint8_t turns[LZ_BATCH]; /* how the objects that may leak have changed names: see model_turned */
	struct state batch[LZ_BATCH];
};

/* -- the generated part */

extern const uint32_t model_rules;
/* More successors than this no state has. */
extern const uint32_t model_degree;
/* By rule: the number of the property that its fault violates, -1 if nobody asks or it has none. */
extern const int16_t model_fault[];
/* The properties that single states violate; covers and premises. */
extern const uint64_t model_state_properties, model_marks;
/* Those of model_marks that are premises: nobody asks for a way to them. */
extern const uint64_t model_premises;
/* The number of the property that asks for deadlocks, or -1. */
extern const int model_deadlock;
/* Objects whose leak is asked about: bit i of model_live is of property model_leak_property[i]. */
extern const unsigned model_leaks;
extern const int16_t model_leak_property[];

void model_expand(const struct state *s, struct sink *x);
void model_canonical(struct state *s);
/* Bits of the objects that may leak, of a canonical state, as they were before the turn that made it one. */
extern const bool model_turns;
uint64_t model_turned(uint64_t objects, unsigned turn);
uint64_t model_broken(const struct state *s);
uint64_t model_marked(const struct state *s, uint64_t wanted);
uint64_t model_missteps(const struct state *s, const struct state *t);
uint64_t model_live(const struct state *s);
bool model_final(const struct state *s);

/* -- the engine's part */

void sink_flush(struct sink *x);
void sink_misstep(struct sink *x, uint64_t properties, uint32_t rule);
void steps_add(struct steps *steps, const struct step *step);

static inline bool state_equal(const struct state *a, const struct state *b)
{
	uint64_t difference = 0;

	for (int i = 0; i < LZ_WORDS; i++)
		difference |= a->w[i] ^ b->w[i];
	return !difference;
}

/* The upper half is good, and the table uses that only. */
static inline uint64_t state_hash(const struct state *s)
{
	uint64_t h = 0x9e3779b97f4a7c15u;

	for (int i = 0; i < LZ_WORDS; i++) {
		h = (h ^ s->w[i]) * 0xd6e8feb86659fd93u;
		h ^= h >> 32;
	}
	return h * 0xff51afd7ed558ccdu;
}

/* As good as a random number for each state: where two states with the same one are taken for the same. */
static inline uint64_t state_fingerprint(const struct state *s)
{
	uint64_t h = 0x2d358dccaa6c78a5u;

	for (int i = 0; i < LZ_WORDS; i++) {
		unsigned __int128 product = (unsigned __int128)(h ^ s->w[i] ^ 0x8bb84b93962eacc9u) *
					    (s->w[i] + 0x4b33a62ed433d4a3u + 2 * (uint64_t)i);

		h = (h << 23 | h >> 41) + ((uint64_t)product ^ (uint64_t)(product >> 64));
		h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
		h ^= h >> 32;
	}
	h *= 0x94d049bb133111ebu;
	h ^= h >> 31;
	return h ? h : 1;
}

static inline void sink_fault(struct sink *x, uint32_t rule)
{
	int property = model_fault[rule];

	x->faults |= (uint64_t)1 << (property < 0 ? 63 : property);
	if (x->listen) {
		struct step step = {.rule = rule, .fault = true};

		steps_add(x->listen, &step);
	}
}

static inline void sink_put(struct sink *x, const struct state *n, unsigned turn)
{
	uint64_t h = LZ_UNLIKELY(x->strong) ? state_fingerprint(n) : state_hash(n);
	unsigned i = x->pending;

	x->batch[i] = *n;
	x->hashes[i] = h;
	x->owners[i] = x->owner;
	x->turns[i] = (uint8_t)turn;
	__builtin_prefetch(&x->slots[h >> x->shift], 1);
	x->pending = i + 1;
	if (LZ_UNLIKELY(i + 1 == LZ_BATCH))
		sink_flush(x);
}

#endif
