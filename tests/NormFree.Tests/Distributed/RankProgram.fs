/// What mpirun starts in tests: this program as one of several ranks.
module NormFree.Tests.Distributed.RankProgram

open System
open System.Threading
open NormFree.Distributed
open NormFree.Formats.Safetensors
open NormFree.Cli
open NormFree.Spec
open NormFree.Runs
open NormFree.Training
open NormFree.Tests.Training.Support

/// The first argument of a rank.
[<Literal>]
let Word = "--as-rank"

/// Trains every norm in float64; the first rank writes the tensors, in the order of norms, once all have found that they have the same bits.
let run accumulate (path: string) =
    let ranks = Ranks.Join(TimeSpan.FromSeconds 30.0, (fun (who: string) -> Console.Error.WriteLine who))
    let writer = SafetensorsWriter()

    for norm in norms do
        let found = Trainings.inFloat64 accumulate norm ranks

        for name, values in found.Tensors do
            let bytes: byte[] = values |> Array.collect (fun value -> BitConverter.GetBytes(value: float))

            writer.Add(
                $"{Names.norm norm}/{name}",
                DType.F64,
                ReadOnlySpan [| int64 values.Length |],
                ReadOnlyMemory bytes
            )
            |> ignore

            if ranks.Texts(Convert.ToHexString bytes) |> Array.distinct |> Array.length > 1 then
                failwith $"{name} is not the same on all ranks"

    if ranks.Rank = 0 then
        writer.Save path

    ranks.TryPart(0L, Timeout.InfiniteTimeSpan) |> ignore
    ranks.Leave()
    0

/// Fails on some ranks, given as `rank:reason,rank:reason`, as the tool's commands do; the others end, or wait for them.
let fail (failures: string) (others: string) =
    let reasons =
        Map
            [ for failure in failures.Split ',' do
                  let words = failure.Split ':'
                  int words[0], words[1] ]

    let command (ranks: IRanks) =
        match reasons.TryFind ranks.Rank with
        | Some reason -> raise (TrainingException reason)
        | None when others = "wait" -> ranks.Meet()
        | None -> ()

    int (Outcome.guard (fun () -> Job.run None command))

/// Waits for the others, but for rank 1, which never starts.
let missOne () =
    if Environment.GetEnvironmentVariable "OMPI_COMM_WORLD_RANK" = "1" then
        Thread.Sleep Timeout.Infinite

    int (Outcome.guard (fun () -> Job.run (Some(TimeSpan.FromSeconds 0.5)) ignore))
