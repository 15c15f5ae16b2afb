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

/// One step of AdamP on a tensor of rows, by plain loops: weights, m, v.
let private adamP step (weights: float[][], m: float[][], v: float[][]) (gradient: float[][]) =
    let map2 f = Array.map2 (Array.map2 f)
    let m = map2 (fun m g -> 0.9 * m + 0.1 * g) m gradient
    let v = map2 (fun v g -> 0.999 * v + 0.001 * g * g) v gradient
    let first, second = 1.0 - 0.9 ** float step, 1.0 - 0.999 ** float step
    let move = map2 (fun m v -> m / first / (sqrt (v / second) + 1e-8)) m v
    let dot a b = Array.fold2 (fun sum a b -> sum + a * b) 0.0 a b
    let length a = sqrt (dot a a) + 1e-8

    let isInvariant (w: float[]) g = abs (dot w g) / (length w * length g) < 0.1 / sqrt (float w.Length)

    let project (w: float[]) q =
        let direction = w |> Array.map (fun value -> value / length w)
        let along = dot direction q
        Array.map2 (fun d q -> q - along * d) direction q

    let rows = weights[0].Length

    let move, decay =
        if Array.forall2 isInvariant weights gradient then
            Array.map2 project weights move, 0.1 * decay
        elif isInvariant (Array.concat weights) (Array.concat gradient) then
            project (Array.concat weights) (Array.concat move) |> Array.chunkBySize rows, 0.1 * decay
        else
            move, decay

    map2 (fun w q -> w * (1.0 - rate * decay) - rate * q) weights move, m, v

let private agreesWithLoops =
    [ for name, tilt in [ "scale-invariant rows", 0.0; "a scale-invariant tensor", 0.3; "other weights", 1.0 ] do
          test $"AdamP: {steps} steps equal plain loops, {name}" {
              use _ = torch.NewDisposeScope()
              let generator = Random 9
              let draw () = Array.init 3 (fun _ -> Array.init 8 (fun _ -> 2.0 * generator.NextDouble() - 1.0))
              let start = draw ()
              let shape = [| 3L; 2L; 2L; 2L |]
              let tensor = new Modules.Parameter(GoldenFiles.tensor shape (Array.concat start), true)
              use ours = new AdamP([| OptimisedParameter("w", tensor, decay) |])
              let zero = Array.map (Array.map (fun _ -> 0.0)) start
              let mutable state = start, zero, zero

              for step in 1..steps do
                  let weights, _, _ = state
                  let dot = Array.fold2 (fun sum a b -> sum + a * b) 0.0

                  // Orthogonal to the row, then tilted towards it; tilts of opposite sign cancel in the whole tensor only.
                  let gradient =
                      Array.map2
                          (fun (w: float[]) g ->
                              let along = dot w g / dot w w
                              Array.map2 (fun w g -> g - along * w) w g)
                          weights
                          (draw ())
                      |> Array.mapi (fun row g ->
                          let sign = if tilt = 1.0 || row = 0 then 1.0 else -1.0
                          let size = tilt * sign * dot weights[0] weights[0] / dot weights[row] weights[row]
                          let share = if tilt = 0.3 && row > 0 then 0.5 else 1.0
                          Array.map2 (fun w g -> g + share * size * w) weights[row] g)

                  tensor.grad <- GoldenFiles.tensor shape (Array.concat gradient)
                  state <- adamP step state gradient
                  ours.Step rate

              let weights, _, _ = state
              Agreement.allClose 1e-12 tensor (Array.concat weights) "weights"
          } ]

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
          named
          yield! agreesWithLoops ]
