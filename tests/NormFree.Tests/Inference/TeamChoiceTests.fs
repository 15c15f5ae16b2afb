/// The choice between the team and the caller alone, with simulated times.
module NormFree.Tests.Inference.TeamChoiceTests

open System
open Expecto
open NormFree.Inference.Threads

/// The mean time of runs, and the share of them that the team ran. `shared` and `alone` draw a run's time.
let private simulate (choice: TeamChoice) runs shared alone =
    let times =
        [ for _ in 1..runs ->
              let isShared = choice.IsShared
              let time: float = if isShared then shared () else alone ()
              choice.Record time
              isShared, time ]

    List.averageBy snd times, float (times |> List.filter fst |> List.length) / float runs

let private constant time () : float = time

/// A run of the team that another process interrupts in this share of the cases, for 3 ms.
let private interrupted (random: Random) share () = 1.2 + (if random.NextDouble() < share then 3.0 else 0.0)

let tests =
    testList
        "team or alone"
        [ test "the team runs nearly everything while it is faster" {
              let _, share = simulate (TeamChoice()) 10_000 (constant 1.2) (constant 2.4)
              Expect.isGreaterThan share 0.998 "share"
              Expect.isLessThan share 1.0 "some runs compare"
          }

          test "rare interruptions cost the team at most 4 % of its runs" {
              let choice, random = TeamChoice(), Random 1
              let time, share = simulate choice 10_000 (interrupted random 0.05) (constant 2.4)
              Expect.isGreaterThan share 0.96 "share"
              Expect.isLessThan time 1.45 "time"
          }

          for share in [ 0.5; 0.8; 1.0 ] do
              test $"runs are hardly slower than alone if {share:P0} of the team's runs are interrupted" {
                  let choice, random = TeamChoice(), Random 2
                  simulate choice 300 (interrupted random share) (constant 2.4) |> ignore
                  let time, _ = simulate choice 10_000 (interrupted random share) (constant 2.4)
                  Expect.isLessThan time (1.1 * 2.4) "time"
              }

          test "the team returns when the processor is free again, and stays" {
              let choice, random = TeamChoice(), Random 3
              simulate choice 5_000 (interrupted random 0.9) (constant 2.4) |> ignore
              simulate choice 600 (constant 1.2) (constant 2.4) |> ignore
              let _, share = simulate choice 5_000 (constant 1.2) (constant 2.4)
              Expect.isGreaterThan share 0.998 "share"
          }

          test "a first run after a stretch, for which threads wake, does not end the trial" {
              let choice = TeamChoice()
              simulate choice 40 (constant 3.0) (constant 2.4) |> ignore
              let mutable before = false

              let waking () =
                  if before then
                      1.2
                  else
                      before <- true
                      5.0

              let alone () =
                  before <- false
                  2.4

              let _, share = simulate choice 5_000 waking alone
              Expect.isGreaterThan share 0.95 "share"
          }

          test "a first run that takes a hundred times as long changes nothing" {
              let choice = TeamChoice()
              simulate choice 1 (constant 120.0) (constant 240.0) |> ignore
              let _, share = simulate choice 1_000 (constant 1.2) (constant 2.4)
              Expect.isGreaterThan share 0.98 "share"
          } ]
