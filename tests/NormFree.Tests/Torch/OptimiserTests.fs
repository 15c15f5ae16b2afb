/// Compares our optimisers with TorchSharp's.
module NormFree.Tests.Torch.OptimiserTests

open System
open System.Runtime
open Expecto
open NormFree.Torch.Training.Optimisers
open NormFree.Tests.Golden
open TorchSharp

let private rate, decay = 1e-2, 0.1
let private steps = 20

/// Runs without garbage collections, which could free the temporary scalars of TorchSharp's optimisers during a native call.
let private withoutCollections run =
    let region = GC.TryStartNoGCRegion(64L * 1024L * 1024L)

    try
        run ()
    finally
        if region && GCSettings.LatencyMode = GCLatencyMode.NoGCRegion then
            GC.EndNoGCRegion()

let private shapes = [ [| 4L; 3L; 3L; 3L |]; [| 6L |]; [| 3L; 5L |] ]

let private random (generator: Random) (shape: int64[]) =
    GoldenFiles.tensor shape (Array.init (int (Array.reduce (*) shape)) (fun _ -> 2.0 * generator.NextDouble() - 1.0))

let private agrees
    name
    (theirs: Modules.Parameter seq -> torch.optim.Optimizer)
    (ours: OptimisedParameter[] -> ParameterOptimiser)
    =
    test $"{name}: {steps} steps with weight decay equal TorchSharp's" {
        use _ = torch.NewDisposeScope()
        let generator = Random 5
        let starts = [ for shape in shapes -> random generator shape ]
        let copies () = [ for start in starts -> new Modules.Parameter(start.clone (), true) ]
        let expected, actual = copies (), copies ()
        use theirs = theirs expected
        use ours = ours [| for i, tensor in List.indexed actual -> OptimisedParameter($"p{i}", tensor, decay) |]

        withoutCollections (fun () ->
            for _ in 1..steps do
                for e, a in List.zip expected actual do
                    let gradient = random generator e.shape
                    e.grad <- gradient.clone ()
                    a.grad <- gradient

                theirs.step () |> ignore
                ours.Step rate)

        Expect.equal ours.Steps (int64 steps) "steps"

        for e, a in List.zip expected actual do
            Agreement.allClose 1e-12 a (Agreement.values e) "parameter"
    }

let private named =
    test "the state has PyTorch's names, and a parameter without a gradient stays unchanged" {
        use _ = torch.NewDisposeScope()
        let tensor = new Modules.Parameter(GoldenFiles.tensor [| 2L |] [| 1.0; 2.0 |], true)
        use adam = new Adam([| OptimisedParameter("fc.bias", tensor, decay) |], false)
        use sgd = new Sgd([| OptimisedParameter("fc.bias", tensor, decay) |], 0.9)
        adam.Step rate
        let names (optimiser: ParameterOptimiser) = [ for struct (name, _) in optimiser.State -> name ]
        Expect.equal (names adam) [ "fc.bias/exp_avg"; "fc.bias/exp_avg_sq" ] "Adam's"
        Expect.equal (names sgd) [ "fc.bias/momentum_buffer" ] "SGD's"
        Expect.equal (Agreement.values tensor) [| 1.0; 2.0 |] "the parameter"
    }

let tests =
    testSequenced
    <| testList
        "optimisers"
        [ agrees "Adam" (fun p -> torch.optim.Adam(p, lr = rate, weight_decay = decay)) (fun p -> new Adam(p, false))
          agrees "AdamW" (fun p -> torch.optim.AdamW(p, lr = rate, weight_decay = decay)) (fun p -> new Adam(p, true))
          agrees
              "SGD with Nesterov's momentum"
              (fun p -> torch.optim.SGD(p, rate, momentum = 0.9, weight_decay = decay, nesterov = true))
              (fun p -> new Sgd(p, 0.9))
          agrees "SGD without momentum" (fun p -> torch.optim.SGD(p, rate, weight_decay = decay)) (fun p ->
              new Sgd(p, 0.0))
          named ]
