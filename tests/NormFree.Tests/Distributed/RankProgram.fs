/// What mpirun starts in tests: this program as one of several ranks.
module NormFree.Tests.Distributed.RankProgram

open System
open System.Threading
open NormFree.Distributed
open NormFree.Formats.Safetensors
open NormFree.Spec
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
                $"{Words.norm norm}/{name}",
                DType.F64,
                ReadOnlySpan [| int64 values.Length |],
                ReadOnlyMemory bytes
            )
            |> ignore

            if ranks.Texts(Convert.ToHexString bytes) |> Array.distinct |> Array.length > 1 then
                failwith $"{name} is not the same on all ranks"

    if ranks.Rank = 0 then
        writer.Save path

    if ranks.TryLeave Timeout.InfiniteTimeSpan then 0 else 1
