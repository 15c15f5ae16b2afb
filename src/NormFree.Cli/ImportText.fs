namespace NormFree.Cli

open NormFree.Data
open NormFree.Formats
open NormFree.Interop
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec

/// <summary>What an import prints: what it loaded, and what a file of tensors does not say and the import assumed.</summary>
[<RequireQualifiedAccess>]
module internal ImportText =

    let private listed (names: string list) = String.concat ", " (Printable.List names)

    let private weights (content: ForeignContent) =
        match content.Weights, content.OtherWeights with
        | ".", [] -> []
        | path, [] -> [ $"weights: {path}" ]
        | path, others ->
            let list = listed [ for other, count in others -> $"{other} ({count} tensors)" ]
            [ $"weights: {path}; the file also holds {list}: choose one with --weights NAME" ]

    let private renamed (report: ImportReport) =
        match report.Prefix, report.Renamed.Length with
        | _, 0 -> ""
        | "", count -> $", {count} of them under other names"
        | prefix, count -> $", {count} of them without the prefix {prefix}"

    /// <summary>What was loaded, renamed, skipped and accepted.</summary>
    let loaded (report: ImportReport) : string list =
        [ $"{report.Network}: {report.Loaded} tensors loaded from {report.File}{renamed report}"
          yield! weights report.Content

          if not report.Content.Skipped.IsEmpty then
              $"skipped: {listed report.Content.Skipped}"

          if report.Counters > 0 then
              $"{report.Counters} batch counters are missing in the file, as before PyTorch 0.4.1: they start at 0"

          if not report.IsComplete then
              "accepted because of --partial; tensors of the network that do not fit keep their initial values:"
              yield! report.Problems
          elif not report.NonFinite.IsEmpty then
              "accepted because of --allow-nonfinite:"
              yield! report.Problems ]

    /// Marks a value that no option gave.
    let private assumed (args: Arguments) (option: Opt<'T>) (text: string) =
        if args.Has option then text else $"{text} (default)"

    let private network (args: Arguments) net size =
        let stem =
            match args.TryGet Options.Network.stem, NetworkOptions.stem None size with
            | Some CifarStem, _ -> "stem cifar"
            | Some ImageNetStem, _ -> "stem imagenet"
            | None, CifarStem -> $"stem cifar (by the image side {size}; --stem imagenet is the other)"
            | None, ImageNetStem -> $"stem imagenet (by the image side {size}; --stem cifar is the other)"

        let binary =
            if not (Net.isBinary net) then
                []
            else
                [ args.Get Options.Network.norm
                  |> Names.norm
                  |> sprintf "norm %s"
                  |> assumed args Options.Network.norm
                  args.Get Options.Network.binarise
                  |> Names.binarise
                  |> sprintf "binary %s"
                  |> assumed args Options.Network.binarise
                  match Net.shortcutWeights net with
                  | Some weights -> assumed args Options.Network.shortcut $"shortcut weights {Names.weights weights}"
                  | None -> ()
                  (match args.Get Options.Recipe.recipe with
                   | PublishedRecipe -> "recipe published"
                   | CorrectedRecipe -> "recipe corrected"
                   | AbBnnRecipe -> "recipe ab-bnn")
                  |> assumed args Options.Recipe.recipe ]

        String.concat ", " ([ args.Get Options.Network.arch; stem ] @ binary)

    let private preprocessing (task: ImageTask) =
        let steps =
            match task.Preprocessing with
            | [] -> [ $"images of {task.Size}×{task.Size} (others: shorter side resized, centre cropped)" ]
            | steps -> List.map Augment.describe steps

        let numbers (values: float32[]) = values |> Array.map (fun value -> value.ToString "0.###") |> String.concat " "
        let normalisation = task.Normalisation

        String.concat
            ", "
            (steps
             @ [ $"subtract the mean {numbers normalisation.Mean}"
                 $"divide by {numbers normalisation.Deviation}" ])

    /// Binary and real shortcuts have the same keys and shapes, but other logits.
    let private ambiguity (args: Arguments) (net: NetSpec) =
        match Net.shortcutWeights net, net.Binarise with
        | Some weights, ActivationsAndWeights when not (args.Has Options.Network.shortcut) ->
            let other =
                if weights = WeightBinariser.Real then
                    WeightBinariser.Binary
                else
                    WeightBinariser.Real

            [ $"a file does not tell whether its shortcuts have {Names.weights weights} or {Names.weights other} weights: choose the other with \
                --shortcut {Names.weights other} (ReActNet's and Bi-Real Net's code have real ones, that of \"BNN − BN = ?\" binary ones)" ]
        | _ -> []

    /// <summary>The network and the preprocessing that the checkpoint now has. Tensors that fit do not prove either.</summary>
    let assumptions (args: Arguments) (net: NetSpec) (task: ImageTask) : string list =
        [ $"assumed network: {network args net task.Size}"
          $"assumed preprocessing: {preprocessing task}"
          $"assumed classes: {task.Classes.Length}, of {task.Dataset}"
          yield! ambiguity args net ]
