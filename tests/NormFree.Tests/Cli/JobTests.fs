/// Jobs of ranks whose connection fails.
module NormFree.Tests.Cli.JobTests

open System
open Expecto
open NormFree.Cli
open NormFree.Distributed
open NormFree.Runs
open NormFree.Networks
open NormFree.Training

let private broken = DistributedException "the network is down"

/// Runs the first of two ranks with these final steps; its outcome, and the code with which it ended the other rank.
let private outcome (part: unit -> int64 array) (leave: unit -> unit) command =
    let mutable aborted = None

    let ranks =
        { new IRanks with
            member _.Size = 2
            member _.Rank = 0
            member _.NameOf(rank: int) = $"rank {rank}"
            member _.BeginSum(_, _, _, _) = raise broken
            member _.TryFinalBarrier(_, _) = part ()
            member _.Leave() = leave ()
            member _.Abort(code: int) = aborted <- Some code }

    Outcome.guard (fun () -> Job.runOn ranks (TimeSpan.FromSeconds 1.0) command), aborted

let private succeeded () = [| 0L; 0L |]

let tests =
    testList
        "jobs"
        [ for what, part, leave, command in
              [ "in the final barrier", (fun () -> raise broken), ignore, ignore
                "when ranks leave", succeeded, (fun () -> raise broken), ignore
                "and ended the command", (fun () -> raise broken), ignore, (fun (ranks: IRanks) -> ranks.Barrier())
                "after the command failed for another reason",
                (fun () -> raise broken),
                ignore,
                (fun _ -> raise (TrainingException "the disk is full"))
                "when ranks leave after the command failed",
                succeeded,
                (fun () -> raise broken),
                (fun _ -> raise (TrainingException "the disk is full")) ] do
              test $"a network that fails {what} fails the job" {
                  Expect.equal
                      (outcome part leave command)
                      (Outcome.Failed, Some 1)
                      "outcome, and the end of the others"
              }

          test "a job succeeds if all ranks succeed" {
              Expect.equal
                  (outcome succeeded ignore ignore)
                  (Outcome.Success, None)
                  "outcome, and the end of the others"
          } ]
