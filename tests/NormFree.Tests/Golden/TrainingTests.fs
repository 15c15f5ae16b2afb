module NormFree.Tests.Golden.TrainingTests

open Expecto
open NormFree.Spec
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open TorchSharp

let private recipe entry =
    { Recipe.published with
        LearningRate = GoldenFiles.number "lr" entry
        WeightDecay = GoldenFiles.number "weight_decay_on_conv" entry
        Clip = Agc(GoldenFiles.number "agc_clip" entry) }

let private loss entry (step: int) (logits: torch.Tensor) =
    let even = step % 2 = 0
    let labels = torch.tensor (if even then [| 3L; 7L; 1L; 0L |] else [| 2L; 2L; 9L; 5L |])

    match GoldenFiles.text "loss" entry with
    | "ce" -> Losses.CrossEntropy(logits, labels)
    | "ls" -> Losses.LabelSmoothing(logits, labels, 0.1)
    | _ ->
        let key = if even then "teacher0" else "teacher1"
        Losses.Distillation(logits, GoldenFiles.tensor [| 4L; 10L |] (GoldenFiles.wave 40 key 3.0 0.0))

let private step entry (network: Network) (optimisation: Optimisation) number =
    use _ = torch.NewDisposeScope()
    let shape = GoldenFiles.integers "batch_shape" entry
    let count = int (Array.reduce (*) shape)
    let key = if number % 2 = 0 then "batch0" else "batch1"
    let images = GoldenFiles.tensor shape (GoldenFiles.wave count key 1.5 0.0)
    let loss = loss entry number (network.Forward(images, Train))
    network.Backward loss
    optimisation.Clip()
    optimisation.Move(GoldenFiles.number "lr" entry)
    loss.item<float>()

/// The losses of so many steps; after all six, the norms of all parameters too.
let private agrees count entry =
    let kind = GoldenFiles.text "loss" entry

    test $"{GoldenFiles.name entry} {kind}: {count} steps" {
        use network = GoldenFiles.network (GoldenFiles.spec entry)
        use optimisation = new Optimisation(recipe entry, network)

        let losses = GoldenFiles.floats "losses" entry

        for number, expected in losses |> Array.truncate count |> Array.indexed do
            let tolerance = if number < 2 then Closeness.tight else Closeness.afterSteps
            Closeness.close tolerance 0.0 (step entry network optimisation number) expected $"loss of step {number}"

        let norms = (GoldenFiles.get "final_param_norms" entry).AsObject()

        if count >= losses.Length then
            for described, tensor in network.Parameters do
                use norm = tensor.detach().norm()

                Closeness.close
                    Closeness.afterSteps
                    0.0
                    (norm.item<float>())
                    (GoldenFiles.number described.Key norms)
                    $"|{described.Key}|"
    }

let private all = 6

/// ReActNet-18 as in the paper takes all steps, its other variants two updates. Six steps of ReActNet-A take as long as those of all others.
let private quickSteps entry =
    match GoldenFiles.name entry with
    | _ when GoldenFiles.isComplete -> all
    | "reactnet-18 bn-free activations+weights cifar" -> all
    | name when name.StartsWith "reactnet-18" -> 3
    | _ -> 0

let tests =
    testList
        "training"
        [ for entry in GoldenFiles.runs.Value do
              if quickSteps entry > 0 then
                  agrees (quickSteps entry) entry ]

let soak =
    testList
        "golden training"
        [ for entry in GoldenFiles.runs.Value do
              if quickSteps entry < all then
                  agrees all entry ]
