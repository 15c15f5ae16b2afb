/// Fused layers given what they cannot take, failing backward passes, and what layers leave behind in the process.
module NormFree.Tests.Torch.FusedFailureTests

open System
open Expecto
open NormFree.Data
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Torch.Layers
open NormFree.Tests.Golden
open NormFree.Tests.Torch.FusedLayers
open TorchSharp

// ---- What goes wrong ----

/// The message of the ArgumentException that an action throws; what follows it still records gradients.
let private refusal action =
    let message =
        try
            action () |> ignore
            failtest "nothing was refused"
        with :? ArgumentException as e ->
            e.Message

    Expect.isTrue (torch.is_grad_enabled ()) "gradients are still recorded"
    message

let private says parts (message: string) =
    for part: string in parts do
        Expect.stringContains message part "the message"

let private real =
    { (cases (false, true, Given))[8] with Kernel = 3; Stride = 1; Batch = 2; In = 8; Outs = [ 6 ] }

/// The inputs with one of their tensors changed.
let private changed change (inputs: Inputs) =
    let p = inputs.Parameters

    let all change (tensors: System.Collections.Generic.IReadOnlyList<torch.Tensor>) =
        tensors |> Seq.map change |> Seq.toArray

    match change with
    | "x", change -> { inputs with X = change inputs.X }
    | "shortcut", change -> { inputs with Shortcut = Option.map change inputs.Shortcut }
    | "shift", change ->
        { inputs with Parameters = BinaryLayerParameters(change p.Shift, p.Weights, p.Gains, p.Activation) }
    | "weight", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, all change p.Weights, p.Gains, p.Activation) }
    | "gain", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, p.Weights, all change p.Gains, p.Activation) }
    | "activation", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, p.Weights, p.Gains, all change p.Activation) }
    | name, _ -> failwith name

let private tensors = [ "x"; "shortcut"; "shift"; "weight"; "gain"; "activation" ]
let private toDouble (tensor: torch.Tensor) = tensor.``to`` torch.ScalarType.Float64

let private refusals =
    [ for binary in [ false; true ] do
          for name in tensors do
              test $"{name} of doubles is refused in the forward pass, binary weights {binary}" {
                  use _ = torch.NewDisposeScope()
                  let case = { real with Binary = binary }

                  let inputs = changed (name, toDouble) (inputs 1L case)
                  refusal (fun () -> fused case inputs) |> says [ "Float32"; "Float64" ]
              }

          for what, name, change in
              [ "with a channel too few", "x", (fun (x: torch.Tensor) -> x.narrow (1L, 0L, x.size 1 - 1L))
                "with rows too few", "x", (fun x -> x.narrow (2L, 0L, x.size 2 - 2L))
                "with two axes", "x", (fun x -> x.reshape (x.size 0, -1L))
                "with an image too few", "shortcut", (fun shortcut -> shortcut.narrow (0L, 0L, 1L))
                "turned around", "shortcut", (fun shortcut -> shortcut.transpose (2L, 3L))
                "with channels too few", "shift", (fun shift -> shift.narrow (1L, 0L, 3L))
                "with taps too few", "weight", (fun weight -> weight.narrow (2L, 0L, 1L))
                "with filters too few", "weight", (fun weight -> weight.narrow (0L, 0L, 3L))
                "with filters too few", "gain", (fun gain -> gain.narrow (0L, 0L, 1L))
                "with channels too few", "activation", (fun parameter -> parameter.reshape(-1L).narrow(0L, 0L, 2L)) ] do
              test $"{name} {what} is refused, binary weights {binary}" {
                  use _ = torch.NewDisposeScope()
                  let case = { real with Binary = binary }
                  let inputs = changed (name, change) (inputs 1L case)
                  refusal (fun () -> fused case inputs) |> says [ "the layer" ]
              }

      for around, stride, outs, said in
          [ Itself, 1, [ 12 ], "8×6×5 do not repeat to 12×6×5"; Itself, 2, [ 8 ], "to 8×3×3" ] do
          test $"x is refused as the shortcut to {outs} channels with stride {stride}" {
              use _ = torch.NewDisposeScope()
              let case = { real with Around = around; Stride = stride; Outs = outs }
              refusal (fun () -> fused case (inputs 1L case)) |> says [ said; "another shortcut" ]
          }

      test "gains without standardisation are refused, and the other way round" {
          use _ = torch.NewDisposeScope()

          for standardised in [ false; true ] do
              let inputs = inputs 1L { real with Standardised = not standardised }
              refusal (fun () -> fused { real with Standardised = standardised } inputs) |> says [ "gains" ]
      }

      test "a branch and a shortcut of different sizes are refused" {
          use _ = torch.NewDisposeScope()
          let inputs = inputs 1L real
          let branch = Option.get inputs.Shortcut
          // As many values, in another order.
          let turned = branch.transpose (2L, 3L)

          let apply branch shortcut () =
              ResidualRPReLU.Apply("the layer", branch, shortcut, inputs.Parameters.Activation)

          refusal (apply branch turned) |> says [ "the layer"; "shortcut" ]
          refusal (apply branch (branch.narrow (1L, 0L, 5L))) |> says [ "the layer"; "shortcut" ]
          let narrow = branch.narrow (1L, 0L, 5L)
          refusal (apply narrow narrow) |> says [ "the layer"; "activation" ]
      }

      test "a branch of doubles is refused" {
          use _ = torch.NewDisposeScope()
          let inputs = inputs 1L real
          let shortcut = Option.get inputs.Shortcut

          for branch, shortcut in [ toDouble shortcut, shortcut; shortcut, toDouble shortcut ] do
              refusal (fun () -> ResidualRPReLU.Apply("the layer", branch, shortcut, inputs.Parameters.Activation))
              |> says [ "Float32"; "Float64" ]
      } ]

let private failures =
    [ for name, case in typical do
          test $"a backward pass that fails is thrown afterwards, once, and the process goes on: {name}" {
              use _ = torch.NewDisposeScope()
              let inputs = inputs 1L case
              let y = fused case inputs
              let gradient = torch.ones_like y
              y.backward ([| gradient |], retain_graph = true)
              FusedBackward.End()
              // The layer's state went with the first pass.
              y.backward [| gradient |]

              let failure =
                  Expect.throwsC (fun () -> FusedBackward.End()) (fun failure ->
                      Expect.equal (failure.GetType()) typeof<InvalidOperationException> "type"
                      failure)

              says [ "backward"; "the layer" ] failure.Message
              Expect.isNotNull failure.InnerException "its cause"
              FusedBackward.End()
              // What comes next is as if nothing had been.
              let again = NormFree.Tests.Golden.Agreement.values (run case inputs)
              Expect.equal again (Agreement.values y) "the next pass"
          }

          test $"a second derivative is refused afterwards: {name}" {
              use _ = torch.NewDisposeScope()
              let y = fused case (inputs 1L case)
              y.backward ([| torch.ones_like y |], create_graph = true)

              Expect.throwsC (fun () -> FusedBackward.End()) (fun failure ->
                  says [ "the layer"; "second derivative"; "composite engine" ] failure.Message)
          } ]

// ---- The process ----

/// Tensors alive once finalisers have run.
let private alive () =
    for _ in 1..3 do
        GC.Collect()
        GC.WaitForPendingFinalizers()

    torch.Tensor.TotalCount

let private step seed case =
    use _ = torch.NewDisposeScope()
    run case (inputs seed case) |> ignore

/// They look at all tensors of the process, or at its threads: nothing else may run beside them.
let private sequenced =
    [ for name, case in typical do
          test $"steps leave no tensor behind: {name}" {
              step 1L case
              let before = alive ()

              for seed in 2L .. 11L do
                  step seed case

              Expect.equal torch.Tensor.TotalCount before "tensors, without a collection"
          }

          test $"a forward pass that no backward pass follows leaves nothing behind after a collection: {name}" {
              let forward seed =
                  use _ = torch.NewDisposeScope()
                  fused case (inputs seed case) |> ignore

              forward 1L
              let before = alive ()

              for seed in 2L .. 11L do
                  forward seed

              Expect.equal (alive ()) before "tensors"
          }

          test $"evaluation leaves no tensor behind: {name}" {
              use _ = torch.NewDisposeScope()
              use _ = torch.no_grad ()
              let inputs = inputs 1L case
              fused case inputs |> _.Dispose()
              let before = alive ()

              for _ in 1..10 do
                  fused case inputs |> _.Dispose()

              Expect.equal torch.Tensor.TotalCount before "tensors, without a collection"
          }

      for binary in [ false; true ] do
          for standardised in [ false; true ] do
              test $"one thread and two give the same bits: binary weights {binary}, standardised {standardised}" {
                  use _ = torch.NewDisposeScope()

                  let case =
                      { real with
                          Binary = binary
                          Standardised = standardised
                          Around = Itself
                          In = 64 + 3
                          Outs = [ 64 + 3 ]
                          Batch = 4
                          Side = 24, 25 }

                  let withThreads threads =
                      let before = torch.get_num_threads ()
                      torch.set_num_threads threads

                      try
                          let inputs = inputs 6L case
                          let y = run case inputs
                          ("y", y) :: gradientsOf inputs
                      finally
                          torch.set_num_threads before

                  for (name, one), (_, two) in List.zip (withThreads 1) (withThreads 2) do
                      // The input's gradient through real weights is libtorch's convolution, which shares its sums out among threads.
                      if binary || not (List.contains name [ "x"; "b" ]) then
                          sameBits name one two
                      else
                          close gradients name one two
              } ]

let tests =
    testList
        "fused layers' failures"
        [ testList "refusals" refusals
          testList "failures" failures
          testSequenced (testList "process" sequenced) ]
