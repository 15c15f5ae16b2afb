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

/// Observes the micro-batches of a batch, one after the other.
type internal MicroBatchHook =
    {
        /// Called at the start of each batch, even if this rank has no image of it.
        Begins: unit -> unit
        /// The hook for the forward pass of the micro-batch with that number, from 0.
        ForwardHook: int -> ForwardHook
        /// Called after each forward pass with the micro-batch's fraction of the whole batch.
        Passed: float -> unit
    }

/// What all ranks know about a step once its gradients are complete.
type internal GradientResult =
    {
        /// Images of the whole batch. There are no gradients if it is 0.
        Images: int
        /// Images of the batch that could not be read.
        Unreadable: int
        Sums: Sums
        /// Milliseconds of this rank's forward and backward passes.
        Forward: float
        Backward: float
        /// Milliseconds in which this rank only waited for others.
        Waited: float
        Communication: CommunicationTime
    }

/// <summary>Computes the gradients of a batch's mean loss from micro-batches: those of other ranks, and several in turn in this one.</summary>
/// <remarks>
/// Each micro-batch's mean loss is weighted by its fraction of the batch's images, and gradients accumulate. Without batch norm the partition
/// therefore changes nothing but the order of sums. Batch norm sees the statistics of one micro-batch at a time; its running statistics follow
/// the micro-batches in turn and are averaged over the ranks after each step, weighted by images. <c>messageBytes</c> is the size from which a
/// message to other ranks is sent. Dispose this before the network.
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
            defaultArg messageBytes GradientBuckets.DefaultBytes
        )

    let forward images labels hook =
        let logits = network.Forward(images, Train, hook)
        let loss: torch.Tensor = loss images logits labels
        let value = loss.``to``(torch.ScalarType.Float64).item<float>()
        loss, Sums.Zero.Add(logits.detach (), labels, value)

    let averageBuffers weight =
        if ranks.Size > 1 && not network.Buffers.IsEmpty then
            Collectives.average ranks weight (List.map snd network.Buffers)

    /// <summary>Messages that a step sends to other ranks.</summary>
    member _.Messages = buckets.Count

    /// <summary>Sets the gradients to those of the mean loss over all ranks' images. Hooks see this rank's micro-batches.</summary>
    /// <remarks>Throws InvalidOperationException if a fused layer fails, DistributedException if the network between ranks fails.</remarks>
    member _.Run
        (images: torch.Tensor, labels: torch.Tensor, unreadable: int, hooks: MicroBatchHook list)
        : GradientResult =
        let count = int (images.size 0)
        let counts = ranks.BeginSum [| float count; float unreadable |]

        let microBatches =
            [ for i in 0 .. accumulate - 1 -> Shard.part count accumulate i ] |> List.filter (snd >> (<) 0)

        let forwards, backwards, waits = Stopwatch(), Stopwatch(), Stopwatch()
        let mutable sums = Sums.Zero
        hooks |> List.iter _.Begins()
        buckets.ZeroGradients()

        for i, (first, size) in List.indexed microBatches do
            use _ = torch.NewDisposeScope()
            let part (tensor: torch.Tensor) = tensor.narrow (0L, int64 first, int64 size)
            forwards.Start()

            let hook =
                hooks |> List.map (fun hook -> hook.ForwardHook i) |> List.fold ForwardHook.both ForwardHook.none

            let loss, found = forward (part images) (part labels) hook
            sums <- sums + found
            forwards.Stop()
            waits.Start()
            let fraction = float size / counts.Wait()[0]
            waits.Stop()

            for hook in hooks do
                hook.Passed fraction

            backwards.Start()
            let weighted = loss.Times fraction
            // Gradients are complete after the last micro-batch; only then may messages leave.
            network.AddGradients(weighted, (if i = microBatches.Length - 1 then buckets.OnLayerBackward else ignore))
            backwards.Stop()

        let all = counts.Wait()
        buckets.StartRemaining()
        let sums = Collectives.startSum ranks sums
        let communication = buckets.Finish()

        if all[0] > 0.0 then
            averageBuffers (float count / all[0])

        { Images = int all[0]
          Unreadable = int all[1]
          Sums = sums ()
          Forward = forwards.Elapsed.TotalMilliseconds
          Backward = backwards.Elapsed.TotalMilliseconds
          Waited = waits.Elapsed.TotalMilliseconds + communication.ExposedMs
          Communication = communication }

    interface IDisposable with
        member _.Dispose() = buckets.Dispose()
