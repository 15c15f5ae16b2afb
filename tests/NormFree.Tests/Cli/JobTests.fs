/// What becomes of a job when that which connects its ranks fails.
module NormFree.Tests.Cli.JobTests

open System
open Expecto
open NormFree.Cli
open NormFree.Distributed
open NormFree.Runs
open NormFree.Networks
open NormFree.Training

let private torn = DistributedException "the network is down"

/// The first of two ranks that part and leave as they are told; the code by which it takes the other one down.
let private outcome (part: unit -> int64 array) (leave: unit -> unit) command =
    let mutable aborted = None

    let ranks =
        { new IRanks with
            member _.Size = 2
            member _.Rank = 0
            member _.NameOf(rank: int) = $"rank {rank}"
            member _.BeginSum(_, _, _, _) = raise torn
            member _.TryFinalBarrier(_, _) = part ()
            member _.Leave() = leave ()
            member _.Abort(code: int) = aborted <- Some code }

    Outcome.guard (fun () -> Job.runOn ranks (TimeSpan.FromSeconds 1.0) command), aborted

let private well () = [| 0L; 0L |]

let tests =
    testList
        "jobs"
        [ for what, part, leave, command in
              [ "when ranks meet at their end", (fun () -> raise torn), ignore, ignore
                "when ranks leave", well, (fun () -> raise torn), ignore
                "and is what the command has failed by",
                (fun () -> raise torn),
                ignore,
                (fun (ranks: IRanks) -> ranks.Barrier())
                "behind a command that has failed by itself",
                (fun () -> raise torn),
                ignore,
                (fun _ -> raise (TrainingException "the disk is full"))
                "when ranks leave behind a command that has failed",
                well,
                (fun () -> raise torn),
                (fun _ -> raise (TrainingException "the disk is full")) ] do
              test $"a network that fails {what} fails the job" {
                  Expect.equal (outcome part leave command) (Outcome.Failed, Some 1) "outcome, and the others' end"
              }

          test "a job whose ranks all end well is one that has ended well" {
              Expect.equal (outcome well ignore ignore) (Outcome.Success, None) "outcome, and the others' end"
          } ]
