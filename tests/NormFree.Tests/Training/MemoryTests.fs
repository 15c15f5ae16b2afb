/// The memory of a training is constant.
module NormFree.Tests.Training.MemoryTests

open System
open System.Diagnostics
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Training.Support
open TorchSharp

/// The working set in bytes after a full collection that returns the collector's reserve, which varies by 8 MB.
let private memory () =
    let collect () = GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking = true, compacting = true)
    collect ()
    GC.WaitForPendingFinalizers()
    collect ()
    use self = Process.GetCurrentProcess()
    float self.WorkingSet64

/// Trains for `steps` steps in epochs of twenty; calls `sample` at every `every`-th step.
let private train engine (net: NetSpec) batch steps every sample =
    let data = Synthetic.dataset 3L (20 * batch) batch
    let mutable taken = 0

    let handler event =
        match event with
        | StepDone _ ->
            taken <- taken + 1

            if taken % every = 0 then
                sample taken
        | _ -> ()

    let plan = Pipeline.from data

    { plan with
        Options = { plan.Options with OnEvent = handler; Execution = { plan.Options.Execution with Engine = engine } } }
    |> Pipeline.trainBinaryFrom None { quick with Epochs = steps / 20; Batch = batch } net
    |> (fun trained -> (trained :> IDisposable).Dispose())

let private engines = [ Fused; Composite ]

/// Sequenced: TorchSharp counts the tensors of the whole process.
let short =
    testSequenced
    <| testList
        "short"
        [ for engine in engines do
              test $"{Json.name engine}: no tensor outlives its step" {
                  let counts = ResizeArray()
                  // Collect the tensors of earlier tests now, so that they do not hide a leak later.
                  alive () |> ignore
                  train engine (tiny (BnFree 0.2)) 4 100 20 (fun _ -> counts.Add torch.Tensor.TotalCount)
                  let found = $"tensors at steps 20, 40, …: {List.ofSeq counts}"

                  // Some may still be freed later: only growth is a failure.
                  for earlier, later in Seq.pairwise counts do
                      Expect.isLessThanOrEqual later earlier found
              } ]

let private limit = 0.03

let soak =
    testList
        "memory"
        [ for engine in engines do
              test $"{Json.name engine}: 2000 steps at constant memory" {
                  let found = ResizeArray()
                  let net = ReActNet.reactNetSmall Size.Full CifarStem |> Net.withClasses 10
                  train engine net 16 2000 100 (fun step -> found.Add(step, memory (), torch.Tensor.TotalCount))
                  let steady = found |> Seq.filter (fun (step, _, _) -> step >= 500) |> Seq.toList
                  let bytes = steady |> List.map (fun (_, bytes, _) -> bytes)
                  let growth = List.max bytes / bytes.Head - 1.0

                  printfn
                      $"{Json.name engine}: {bytes.Head / 1e6:F1} MB at step 500, {List.max bytes / 1e6:F1} at most: {100.0 * growth:F2} %%"

                  Expect.isLessThan growth limit "growth since step 500"

                  Expect.equal
                      (steady |> List.distinctBy (fun (_, _, tensors) -> tensors) |> List.length)
                      1
                      "numbers of tensors"
              } ]
