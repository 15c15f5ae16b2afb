namespace NormFree.Training

open System
open System.Diagnostics
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch
open NormFree.Torch.Distributed
open TorchSharp

/// What looks at the parts of a batch, one after the other.
type internal MicroBatchHook =
    {
        /// Told that a batch begins, of which this rank may have no part.
        Begins: unit -> unit
        /// What looks at the forward pass of the part with that number, from 0.
        ForwardHook: int -> ForwardHook
        /// Told, after a part's forward pass, which share of the whole batch's images it holds.
        Passed: float -> unit
    }

/// What all ranks know of a step when its gradients are there.
type internal GradientResult =
    {
        /// Of the whole batch; where there are none, there are no gradients.
        Images: int
        /// Images of the batch that could not be read.
        Unreadable: int
        Sums: Sums
        /// Milliseconds of this rank's passes.
        Forward: float
        Backward: float
        /// Milliseconds in which this rank did nothing but wait for others.
        Waited: float
        Communication: CommunicationTime
    }

/// <summary>The gradients of a batch's mean loss, computed in parts: those of other ranks, and parts one after the other in this one.</summary>
/// <remarks>
/// Each part's mean loss is weighted by its share of the batch's images, and gradients add up, so that without batch norm the division changes
/// nothing but the order of sums. Batch norms see the statistics of one part at a time; their running statistics are those of the parts one after
/// the other, and after each step the mean over the ranks, weighted by images. A message is full from so many bytes on. Dispose it before the
/// network.
/// </remarks>
[<Sealed>]
type internal GradientStep
    (
        ranks: IRanks,
        accumulate: int,
        network: Network,
        loss: torch.Tensor -> torch.Tensor -> torch.Tensor -> torch.Tensor,
        ?messageBytes: int64
    ) =

    let buckets =
        new GradientBuckets(
            ranks,
            [| for _, tensor in network.Parameters -> tensor :> torch.Tensor |],
            List.toArray network.PartOf,
            defaultArg messageBytes GradientBuckets.UsualBytes
        )

    let forward images labels look =
        let logits = network.Forward(images, Train, look)
        let loss: torch.Tensor = loss images logits labels
        let value = loss.``to``(torch.ScalarType.Float64).item<float>()
        loss, Sums.Zero.Add(logits.detach (), labels, value)

    let average weight =
        if ranks.Size > 1 && not network.Buffers.IsEmpty then
            Collectives.average ranks weight (List.map snd network.Buffers)

    /// <summary>How many messages a step sends.</summary>
    member _.Messages = buckets.Count

    /// <summary>Sets the gradients to those of the mean loss of all ranks' images; whoever watches sees this rank's parts.</summary>
    /// <remarks>Throws InvalidOperationException where a fused layer has failed; DistributedException where the network between ranks has.</remarks>
    member _.Run(images: torch.Tensor, labels: torch.Tensor, unreadable: int, watches: MicroBatchHook list) : GradientResult =
        let count = int (images.size 0)
        let counts = ranks.BeginSum [| float count; float unreadable |]

        let parts =
            [ for i in 0 .. accumulate - 1 -> Shard.part count accumulate i ] |> List.filter (snd >> (<) 0)

        let forwards, backwards, waits = Stopwatch(), Stopwatch(), Stopwatch()
        let mutable sums = Sums.Zero
        watches |> List.iter _.Begins()
        buckets.Prepare()

        for i, (first, size) in List.indexed parts do
            use _ = torch.NewDisposeScope()
            let part (tensor: torch.Tensor) = tensor.narrow (0L, int64 first, int64 size)
            forwards.Start()
            let look = watches |> List.map (fun watch -> watch.ForwardHook i) |> List.fold ForwardHook.both ForwardHook.none
            let loss, found = forward (part images) (part labels) look
            sums <- sums + found
            forwards.Stop()
            waits.Start()
            let share = float size / counts.Wait()[0]
            waits.Stop()

            for watch in watches do
                watch.Passed share

            backwards.Start()
            let weighted = loss.Times share
            // Gradients are whole when the last part's are there.
            network.AddGradients(weighted, (if i = parts.Length - 1 then buckets.LayerBegins else ignore))
            backwards.Stop()

        let all = counts.Wait()
        buckets.Start()
        let sums = Collectives.beginSums ranks sums
        let communication = buckets.Finish()

        if all[0] > 0.0 then
            average (float count / all[0])

        { Images = int all[0]
          Unreadable = int all[1]
          Sums = sums ()
          Forward = forwards.Elapsed.TotalMilliseconds
          Backward = backwards.Elapsed.TotalMilliseconds
          Waited = waits.Elapsed.TotalMilliseconds + communication.ExposedMs
          Communication = communication }

    interface IDisposable with
        member _.Dispose() = buckets.Dispose()
