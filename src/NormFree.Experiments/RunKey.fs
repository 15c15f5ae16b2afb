namespace NormFree.Experiments

open System
open System.Collections.Generic
open System.Security.Cryptography
open System.Text
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// Everything that determines a run's result, and nothing else: no labels, folders, threads or version. The key is a hash of its JSON, whose
/// fields keep their first names.
type private Decisive =
    { Method: int
      Train: string
      Test: string
      Normalisation: Normalisation
      Size: int
      Augmentation: Augmentation
      Execution: Execution
      Device: Device
      Stages: (NetSpec * Recipe) list }

/// <summary>Identifies runs by everything that determines their results, so that none is trained twice.</summary>
[<RequireQualifiedAccess>]
module RunKey =

    /// A teacher is identified by its content: its file may move or be replaced.
    let private byContent (content: string -> string) (recipe: Recipe) =
        match recipe.Loss with
        | Distillation teacher -> { recipe with Loss = Distillation(content teacher) }
        | CrossEntropy
        | LabelSmoothing _
        | CustomLoss _ -> recipe

    /// The first names of renamed fields.
    let private firstNames =
        [ "Initialisation", "Start"; "BinaryInit", "BinaryStart"; "SignCentering", "Balance" ]

    /// Fields that recipes had not at first, as they are written without an effect.
    let private laterFields =
        [ "\"Remeasure\":null,"
          "\"WeightAverage\":null,"
          "\"Freeze\":0,"
          ",\"ShortcutWeights\":\"Published\""
          ",\"StreamCentering\":\"Published\"" ]

    /// Uses the first names of fields and leaves out later ones without an effect, so that keys stay the same.
    let private stable (text: string) =
        let renamed =
            (text, firstNames)
            ||> List.fold (fun text (name, first) -> text.Replace($"\"{name}\":", $"\"{first}\":"))

        (renamed, laterFields) ||> List.fold (fun text field -> text.Replace(field, ""))

    let private hash (text: string) =
        Convert.ToHexStringLower(SHA256.HashData(ReadOnlySpan(Encoding.UTF8.GetBytes text)))[..15]

    /// <summary>Returns a function from a variant, with its seed in its recipes, to its key of 16 hexadecimal digits.</summary>
    /// <remarks>Images and teachers are hashed once. The function throws InvalidFileException or IOException if a teacher's checkpoint cannot
    /// be read.</remarks>
    let forImages (dataset: Dataset) (execution: Execution) (device: Device) : Variant -> string =
        let teachers = Dictionary<string, string>()

        let content path =
            if not (teachers.ContainsKey path) then
                teachers[path] <- Fingerprint.ofCheckpoint path

            teachers[path]

        let train, test = ImageSource.fingerprint dataset.Train, ImageSource.fingerprint dataset.Test

        fun variant ->
            let stages = Variant.stages variant

            { Method = stages |> List.map (fun (net, recipe) -> RecipeMethod.number recipe net) |> List.max
              Train = train
              Test = test
              Normalisation = dataset.Normalisation
              Size = dataset.Size
              Augmentation = dataset.Augmentation
              Execution = execution
              Device = device
              Stages = stages |> List.map (fun (net, recipe) -> net, Recipe.effective net (byContent content recipe)) }
            |> Json.write
            |> stable
            |> hash
