/* The search: states by levels, all of them kept in the order they were found. */
#ifndef LZ_ENGINE_H
#define LZ_ENGINE_H

#include "state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { LZ_MAX_THREADS = 64, LZ_PROPERTIES = 63 };

/* A state's number: its place in a thread's arena, and the thread, in the lowest bits. */
typedef uint32_t state_number;

/* A part of the address space that fills up from its beginning. */
struct region {
	unsigned char *at;
	size_t used, room; /* bytes */
};

/* The states that one thread found, and where its part of each level begins.  Threads share no cache line. */
struct arena {
	_Alignas(128) struct region states;
	struct region levels; /* of uint32_t */
	_Atomic uint32_t count;
	uint32_t room;
};

/* The table of all states: in each slot 0, or the upper half of a hash and a number + 1. */
struct table {
	uint64_t *slots;
	unsigned bits; /* 2^bits slots */
};

/* Where a property was decided: in a state, or by a rule in it. */
struct witness {
	state_number state;
	uint32_t rule;
	bool by_rule;
	struct state words;
};

#define NO_RULE UINT32_MAX

/* In a degree: the search did not go on from this state. */
#define LZ_CUT 0x8000u

/* The successors of some neighbouring states, by what they lie behind in `targets` and `degrees`. */
struct stretch {
	uint32_t arena, first, count;
};

struct worker {
	struct sink sink;
	unsigned id;
	struct arena *arena;
	uint32_t quota;    /* states that may be added before the table grows */
	_Atomic uint64_t transitions;
	uint64_t expanded;
	uint64_t found;    /* properties decided in this pass */
	uint64_t marks;    /* covers and premises that were true in this pass */
	bool cut;          /* some state's successors were not all looked at */
	bool more;         /* leak: this sweep has changed something */
	struct witness witness[LZ_PROPERTIES];
	/* what is left of the piece of work at hand */
	uint32_t piece_arena, piece_next, piece_end;
	struct region targets, turns, degrees, stretches;
	/* pads to whole cache lines, so that workers do not share any */
	char pad[128];
};

enum { STOP_ANY = 0, STOP_NEVER = 1, STOP_ALL = 2 };

enum limit { LIMIT_NONE, LIMIT_STATES, LIMIT_DEPTH, LIMIT_SECONDS, LIMIT_MEMORY, LIMIT_INTERRUPTED };

struct options {
	unsigned threads;
	uint64_t states, depth; /* UINT64_MAX: no limit */
	double seconds;         /* negative: no limit */
	uint64_t memory;        /* bytes; UINT64_MAX: no limit */
	int stop;
	uint64_t stop_on;
	bool fingerprints; /* keep hashes in place of states, and states only as long as they are to be expanded */
	bool edges; /* keep successors where leaks are asked about and there is room */
	const char *dump; /* a file that all states are written to in the end */
};

struct search {
	struct options options;
	struct table table;
	struct table moving; /* the table before this one, as long as its entries are not all moved */
	unsigned threads, thread_bits;
	struct arena arenas[LZ_MAX_THREADS];
	struct worker *workers;
	struct state *initial;
	uint64_t initials;

	uint32_t level;      /* that is being expanded */
	uint64_t level_size;
	uint64_t states;     /* at the beginning of the level */
	uint64_t forgotten;  /* with fingerprints: states that are kept no more */
	uint32_t begin[LZ_MAX_THREADS], end[LZ_MAX_THREADS]; /* of the level, by arena */
	_Atomic uint32_t cursor[LZ_MAX_THREADS];
	uint32_t piece;
	bool crowded;        /* there is no memory for a larger table */
	uint64_t margin;     /* states that may be added although the quota is used up */
	bool broken_here;    /* some state of this level is not to be expanded */

	uint64_t found;      /* properties that are violated, covers reached */
	uint64_t marks;      /* covers and premises that were true */
	uint64_t violable;   /* properties that are no covers */
	struct witness witness[LZ_PROPERTIES];
	/* `edges`: successors are kept, so that leaks can be found without computing them again */
	bool cut, complete, edges, leaks_unknown, undefined, outgrown, dropped, refused, cramped;
	struct state trouble;

	_Atomic int pause;   /* all workers are to meet */
	_Atomic bool interrupted;
	_Atomic int limit;
	_Atomic bool grow;
	_Atomic uint64_t bytes;
	uint64_t base;       /* what the program takes before it has a state, and no state can be blamed for */

	pthread_mutex_t mutex;
	pthread_cond_t met;
	unsigned waiting;
	unsigned meeting;

	double started, reported;
	/* leaks, by state: the objects that can still be freed, and the number + 1 of a successor that told so */
	struct region able[LZ_MAX_THREADS], next[LZ_MAX_THREADS];
};

/* memory.c */
bool region_reserve(struct region *r, size_t bytes);
void region_release(struct region *r);
void region_forget(const struct region *r, size_t bytes);
size_t region_waste(void);
size_t machine_memory(void);
uint64_t peak_bytes(void);
uint64_t resident_bytes(void);
void *wanted(void *memory);

/* store.c */
void store_init(struct search *q);
const struct state *state_at(const struct search *q, state_number number);
void table_grow(struct search *q, bool helpers);
void table_move(struct search *q, unsigned share, unsigned shares);
void table_moved(struct search *q);
bool worker_flush(struct search *q, struct worker *w);
state_number state_find(const struct search *q, const struct state *s, uint64_t hash);

/* search.c */
extern struct search *the_search;
void search_run(struct search *q);
double now_seconds(void);
uint64_t bytes_now(const struct search *q);
uint64_t stored_bytes(const struct search *q);
void drop_edges(struct search *q);

/* leak.c */
static inline uint64_t able_bytes(void)
{
	return model_leaks > 8 ? sizeof(uint64_t) : 1;
}

void leak_find(struct search *q);
void leak_flush(struct search *q, struct worker *w);
bool leak_doomed(const struct search *q, state_number number, unsigned property);

/* paths.c */
void paths_report(struct search *q);
void depths_report(const struct search *q);

#endif
