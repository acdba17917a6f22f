/*
 * The protocol of an unmap against a fault, written by hand: what a model of it looks like, next to the code itself.
 *
 * host: opens the window (count, zap, flush), clears the PTE, closes it (seq, count), frees the frame.
 * vcpu: loads twice: through its TLB, through the spte, or by a fault that reads the sequence, looks the page up, and
 *       maps it under mmu_lock if no invalidation is open and none has come in between.
 *
 * Bugs: -DNO_RETRY -DCOUNT_ONLY -DSEQ_ONLY -DLATE_SEQ -DNO_FLUSH -DMISSING_NOTIFIER
 */
#define FRAMES 4

byte pte = 1, spte = 0, tlb = 0;   /* frame numbers; 0 = absent */
byte next_frame = 2;
bool is_free[FRAMES];
byte count = 0, seq = 0;
bool mmu_lock = false, in_guest = false, request = false, host_done = false;

inline lock()   { atomic { !mmu_lock -> mmu_lock = true } }
inline unlock() { mmu_lock = false }

active proctype host() {
  byte old;
#ifndef MISSING_NOTIFIER
  lock();
  count++;
  spte = 0;
#ifndef NO_FLUSH
  request = true;
  !in_guest || !request;            /* whoever is outside flushes before it enters */
#endif
  unlock();
#endif
  d_step { old = pte; pte = 0 }
#ifndef MISSING_NOTIFIER
  lock();
  seq++;
  count--;
  unlock();
#endif
  is_free[old] = true;
  assert(spte != old && (tlb != old || request));
  host_done = true;
}

active proctype vcpu() {
  byte loads = 0, frame, snapshot;
  bool stale;
  do
  :: loads == 2 -> break
  :: else ->
    d_step { in_guest = true; if :: request -> tlb = 0; request = false :: else fi }
    d_step {
      if
      :: tlb == 0 && spte != 0 -> tlb = spte
      :: else
      fi;
      if
      :: tlb != 0 -> assert(!is_free[tlb]); loads++; frame = tlb
      :: else -> in_guest = false; frame = 0
      fi
    }
    if
    :: frame != 0 -> skip
    :: else ->
#ifndef LATE_SEQ
      snapshot = seq;
#endif
      d_step {                      /* the page-table lock is held over the lookup */
        if
        :: pte == 0 -> pte = next_frame; next_frame++
        :: else
        fi;
        frame = pte
      }
#ifdef LATE_SEQ
      snapshot = seq;
#endif
      lock();
      stale = false;
#ifndef NO_RETRY
#ifndef SEQ_ONLY
      stale = stale || count > 0;
#endif
#ifndef COUNT_ONLY
      stale = stale || seq != snapshot;
#endif
#endif
      if
      :: stale -> skip
      :: else -> spte = frame; assert(!is_free[frame])
      fi;
      unlock()
    fi
  od;
  in_guest = false;
  assert(!host_done || spte == 0 || spte == pte)
}
