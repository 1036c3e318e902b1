"""A value never chooses a program and never becomes code, whatever options are before it; harmless templates work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skadi import cli, config
from skadi.programs import find_program, table, walk
from skadi.template import Placeholder

# Hand-written, so that a wrong row of the table fails here. Lines are templates.
DANGEROUS = r"""
%s
/opt/bin/%s
sudo %s
sudo -u root %s
sudo -uroot %s
sudo -nu root %s
sudo -u root -g wheel %s
sudo --user root %s
sudo --user=root %s
sudo --us root %s
sudo -n -- %s
sudo X=1 %s
sudo LD_PRELOAD=%s ls
sudo -%s ls
sudo -n%s root ls
sudo --%s ls
sudo --newoption x %s
sudo --newoption %s
sudo -u root env X=1 timeout 5 %s
sudo -u root sh -c %s
doas -u root %s
pkexec --user root %s
env -u X %s
env -uX %s
env X=1 %s
env - X=1 %s
env -i %s
env -S %s
env --split-string=%s
env -C /tmp %s
env PATH=%s ls
env %s=1 ls
nice -n 5 %s
nice -5 %s
nice --adjustment 5 %s
nohup %s
setsid -w %s
ionice -c 2 -n 7 %s
chrt -f 10 %s
taskset -c 0,1 %s
taskset 3 %s
numactl -m 0 %s
choom -n 5 -- %s
prlimit --nofile=10 %s
cpulimit -l 50 -- %s
cgexec -g cpu:x %s
timeout 5 %s
timeout -s KILL 5 %s
timeout -sKILL 5 %s
timeout -k 1 5 %s
timeout --signal KILL 5 %s
timeout --foreground 5 %s
timeout {*}
timeout {*} ls
time -f x %s
time -o /tmp/x %s
stdbuf -o L %s
stdbuf -oL -eL %s
stdbuf --output L %s
chroot /srv %s
chroot %s ls
chroot --userspec=a:b /srv %s
fakeroot -- %s
systemd-run --unit u %s
systemd-run -p ExecStopPost=%s ls
systemd-run --user --scope %s
systemd-run -u x -p A=b %s
systemd-inhibit --what idle %s
systemd-nspawn -D /srv %s
unshare -r %s
unshare --root /srv %s
unshare -S 0 -G 0 %s
nsenter -t 1 -m %s
nsenter --target 1 --mount %s
setpriv --reuid 1 --clear-groups %s
capsh -- -c %s
setarch x86_64 %s
runuser -u www %s
runuser www -c %s
su root -c %s
su -c %s root
su --command=%s
su - root -c %s
sg wheel %s
gosu root %s
chpst -u root -m 9 %s
setuidgid root %s
softlimit -m 9 %s
tini -- %s
start-stop-daemon --start --exec %s
start-stop-daemon -S -x %s
flock /tmp/l %s
flock -w 5 /tmp/l %s
flock /tmp/l -c %s
flock -n /tmp/l sh -c %s
xargs %s
xargs -n 1 %s
xargs -I X %s
xargs -a /tmp/x %s
xargs -a /tmp/x sh -c %s
parallel -j 4 %s
watch -n 5 %s
watch ls %s
entr -r %s
strace -f %s
strace -o /tmp/x -e trace=file %s
strace -o %s ls
ltrace -e x %s
perf stat -e x %s
perf record -o /tmp/x -- %s
valgrind -q %s
gdb -batch -ex %s
gdb --eval-command=%s
gdb -x %s
gdb --args %s
script -c %s /tmp/x
script -qc %s
ssh host %s
ssh -p 22 host %s
ssh -o %s host
ssh -oProxyCommand=%s host
ssh -F %s host
scp -S %s a b:
rsync -e %s a b:
rsync --rsh=%s a b:
sshpass -p x %s
ssh-agent -t 5 %s
mosh --ssh=%s host
docker exec c %s
docker exec -it c %s
docker exec -u root -w /srv c %s
docker exec --user root c %s
docker -H tcp://x exec c %s
docker exec c sh -c %s
docker run alpine %s
docker run --rm -v /a:/b alpine %s
docker run %s
docker run --entrypoint %s alpine
docker %s c sh
docker compose exec -T web %s
docker compose -f a.yml exec web %s
docker-compose exec web %s
docker-compose -f %s up
docker build %s
docker build -f %s .
podman exec c %s
podman run -e A=b alpine %s
nerdctl exec c %s
kubectl exec pod -- %s
kubectl -n x exec pod -c y -- %s
kubectl apply -f %s
lxc exec c -- %s
lxc-attach -n c -- %s
machinectl shell c %s
apptainer exec image %s
busybox %s
busybox sh -c %s
busybox timeout 5 %s
bash %s
bash -c %s
bash -lc %s
bash -cx %s
bash -c -x %s
bash -o pipefail -c %s
bash --rcfile %s
sh -x %s
dash %s
zsh -c %s
fish -c %s
pwsh -Command %s
python3 %s
python3 -c %s
python3 -m %s
python3 -W ignore %s
python3.11 -c %s
/usr/bin/python3 -u -c %s
perl %s
perl -e %s
perl -E %s
perl -ne %s
perl -M%s -e 1
perl -ne print %s
ruby -e %s
ruby -r %s
node %s
node -e %s
node -p %s
node -pe %s
node --eval %s
node --require %s x.js
deno eval %s
php -r %s
php -d x=y %s
php -f %s
lua -e %s
tclsh %s
expect -c %s
osascript -e %s
Rscript -e %s
julia -e %s
octave --eval %s
guile -c %s
sbcl --eval %s
erl -eval %s
java -jar %s
java -cp %s Main
java -cp a.jar %s
emacs --batch --eval %s
vim -c %s
vim +%s
vim --cmd %s
nvim -S %s
ed %s
nano -s %s x
less +%s x
man -P %s ls
awk %s
awk -F : %s /etc/passwd
awk -f %s
gawk -e %s
sed %s x
sed -e %s x
sed -n -e p -e %s x
sed s/x/%s/ y
sed -f %s x
find . -exec %s \;
find /tmp -name x -execdir %s \;
find . -ok sh -c %s \;
fd x -x %s
fd x --exec %s
git -c %s log
git --exec-path=%s log
git %s
git bisect run %s
git submodule foreach %s
git clone -u %s a
git clone --upload-pack=%s a
git rebase -x %s main
git difftool -x %s
git grep -O%s x
git config core.pager %s
hg --config %s log
svn --config-option %s log
tar cf x --checkpoint=1 --checkpoint-action=%s y
tar cf x --checkpoint-act %s y
tar xf x --to-command %s
tar -I %s -xf x
tar xf x --use-compress-program=%s
tar -%s x
zip x y -T -TT %s
split --filter=%s x
sort --compress-program %s x
tcpdump -i eth0 -z %s
nc -e %s host 1
ncat --sh-exec %s host 1
socat - %s
socat - EXEC:%s
nmap --script %s host
openssl req -engine %s
curl -K %s
wget --use-askpass=%s host
aria2c --on-download-complete=%s x
yt-dlp --exec %s x
mysql -e %s
psql -c %s
psql -d x -c %s
sqlite3 db %s
mongosh --eval %s
smbclient //a/b -c %s
systemctl link %s
ip netns exec x %s
ip -b %s
modprobe -C %s x
ldd %s
crontab %s
service %s restart
at -f %s now
screen -dm %s
screen -S x -dm %s
tmux new-session -d %s
xvfb-run -a %s
xterm -e %s
proxychains4 -q %s
make %s
make -f %s
make -C %s
make X=%s
cmake -P %s
gcc -wrapper %s x.c
go run %s
go test -exec %s
cargo install %s
npm install %s
npm exec %s
npm run %s
npx %s
npx -c %s
pip install %s
pip3 install -r %s
pip install --index-url %s x
gem install %s
bundle exec %s
poetry run %s
uv run %s
conda run -n x %s
apt-get install -y %s
apt-get -o %s update
dpkg -i %s
rpm --eval %s
yum install -y %s
srun -n 4 %s
mpirun -np 4 %s
ansible all -m shell -a %s
ansible-playbook %s
certbot renew --deploy-hook %s
run-parts %s
"""

HARMLESS = r"""
echo %s
ls -l %s
cat %s
grep -r %s /srv
grep -r bash %s
systemctl restart %s
systemctl --user restart %s
systemctl status %s --no-pager
systemctl -n 50 status %s
docker restart %s
docker logs --tail 100 %s
docker stop %s
docker -H tcp://x inspect %s
docker exec %s nginx -s reload
docker exec -it %s ls
docker exec web php artisan cache:clear %s
docker run --rm -v /a:/b alpine ls %s
docker run -e NAME=%s alpine env
docker compose restart %s
docker-compose up -d %s
kubectl get pods -n %s
kubectl delete pod %s
kubectl exec pod -- ls %s
podman restart %s
sudo systemctl restart %s
sudo -n systemctl restart %s
sudo -u www ls %s
sudo -u %s id
sudo -u root -- ls -l %s
sudo X=%s ls
env LANG=%s date
env -u X ls %s
nice -n 10 tar czf /srv/a.tgz %s
timeout 5 ping -c 1 %s
timeout %s sleep 100
timeout -s KILL 5 ls %s
nohup /opt/up.sh %s
flock /tmp/l /opt/up.sh %s
flock /tmp/%s /opt/up.sh
ionice -c 3 du -sh %s
stdbuf -oL tail -n 5 %s
chroot /srv ls %s
systemd-run --unit u ls %s
sh up.sh %s
bash /opt/up.sh %s
bash -e /opt/up.sh %s
bash /opt/up.sh -c %s
python3 /opt/check.py %s
python3 -u /opt/check.py --name %s
python3 -m http.server %s
php artisan queue:work %s
php -d memory_limit=1G artisan queue:work %s
node /opt/app.js %s
perl /opt/x.pl %s
ruby /opt/x.rb %s
java -jar app.jar %s
java -cp a.jar Main %s
awk /x/ %s
awk -v name=%s -f /opt/x.awk
sed -n 5p %s
sed -i -e s/a/b/ %s
sort -u %s
find %s -name x
find /srv -name %s
find /srv -name x -exec ls -l {} \;
find /srv -user %s -exec ls {} \;
xargs -a /tmp/x ls %s
git pull origin %s
git checkout %s
git -C /srv log %s
git clone %s
tar xf %s
tar czf /srv/%s.tgz /srv/a
tar -C %s -xf x
zip -r x %s
unzip %s
curl -fsS https://example.org/%s
curl -X POST -d %s https://example.org
wget -q https://example.org/%s
ping -c 1 %s
dig %s
nmap -p 80 %s
ip link show %s
ip -4 addr show dev %s
nc -zv %s 80
rsync -a %s backup:/srv
scp %s backup:/srv
ssh-keygen -lf %s
mysqldump -u root %s
mysql -D %s
psql -d %s
journalctl -u %s
journalctl -n 50 -u %s --no-pager
df -h %s
kill -HUP %s
useradd -m %s
mkdir -p /srv/%s
cp %s /srv/
chown www %s
npm outdated %s
pip show %s
pip download-cache %s
apt-cache show %s
apt-get changelog %s
dpkg -l %s
dpkg -L %s
rpm -q %s
man %s
vim -R %s
go vet %s
cargo search %s
gcc -c %s
openssl x509 -in %s -noout
tmutil status %s
sudo -n env LANG=C timeout 60 nice ls %s
"""


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def write(folder: Path, text: str) -> Path:
    folder.chmod(0o700)
    path = folder / "skadi.yml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def templates(folder: Path, texts: list[str], more: str = "") -> dict[str, str]:
    """Return the refusals of templates by their texts."""
    quoted = [text.replace("'", "''") for text in texts]
    items = [f"  - {{name: t{number}, temp: '{text}'{more}}}\n" for number, text in enumerate(quoted)]
    loaded = config.load(str(write(folder, "templates:\n" + "".join(items))), {})
    return {entry.text: entry.refusal for entry in loaded.entries}


def test_a_value_in_the_place_of_a_program_is_refused(tmp_path: Path) -> None:
    texts = lines(DANGEROUS)
    assert len(texts) >= 170
    refusals = templates(tmp_path, texts)
    assert [text for text, refusal in refusals.items() if not refusal] == []
    assert all("say what it may be with `args:" in refusal for refusal in refusals.values())


def test_the_same_in_a_shell_text(tmp_path: Path) -> None:
    texts = lines(DANGEROUS)
    for form in ("cd /srv && {}", "{} > /tmp/x 2>&1", "if true; then {}; fi", "X=1 {} | cat", "ls; ( {} )", "! {} &"):
        refusals = templates(tmp_path, [form.format(text) for text in texts], ", shell: true")
        assert [text for text, refusal in refusals.items() if not refusal] == []


@pytest.mark.parametrize(
    "text",
    [
        "X=%s; $X",
        "X=%s; sudo -u root $X",
        'for x in %s; do sudo "$x"; done',
        "export PATH=%s; ls",
        "LD_PRELOAD=%s ls",
        "set -- %s; $1",
        "trap %s EXIT",
        "echo %s | sudo tee x; exec nice -n 5 %s",
        "'sudo' -u root %s",
        "su\\do -u root %s",
        "2>/dev/null sudo -u root %s",
    ],
)
def test_a_shell_does_not_hide_the_place_of_a_program(tmp_path: Path, text: str) -> None:
    assert templates(tmp_path, [text], ", shell: true")[text] != ""


@pytest.mark.parametrize("text", ["timeout %s 5 ls", "docker exec %s web ls", "flock %s /tmp/l ls"])
@pytest.mark.parametrize("shell", ["", ", shell: true"])
def test_a_value_that_may_be_an_option_is_refused_before_the_command(tmp_path: Path, text: str, shell: str) -> None:
    assert templates(tmp_path, [text], shell + ", options: allow")[text] != ""


def test_args_bind_the_value(tmp_path: Path) -> None:
    refusals = templates(tmp_path, lines(DANGEROUS), ", args: ['^(a|b)$']")
    assert [refusal for refusal in refusals.values() if refusal] == []


def test_harmless_templates_go_on_to_work(tmp_path: Path) -> None:
    refusals = templates(tmp_path, lines(HARMLESS))
    assert {text: refusal for text, refusal in refusals.items() if refusal} == {}


def test_harmless_templates_work_in_a_shell_text(tmp_path: Path) -> None:
    # A shell text is refused for any `awk` or `xargs` in it, and for `-c` or `-e` behind any interpreter, and for
    # a value behind `exec`.
    doubtful = re.compile(r"awk|xargs|bash.* -[ce] |sed .*-e |php -r|exec %s")
    texts = [f"cd /srv && {text} 2>&1 | head -5" for text in lines(HARMLESS) if not doubtful.search(text)]
    refusals = templates(tmp_path, texts, ", shell: true")
    assert {text: refusal for text, refusal in refusals.items() if refusal} == {}


def with_value(option: str) -> list[str]:
    return [f"--{option}", "VALUE"] if len(option) > 1 else [f"-{option}", "VALUE"]


def test_no_option_of_the_table_hides_the_command() -> None:
    seen = 0
    for program in table().values():
        marks = {**program.short, **program.long}
        options = [name for name, mark in marks.items() if mark and mark in ":!="]
        for names in [[], *([name] for name in options), options]:
            if program.kind in ("plain", "sub", "first") or (
                program.kind == "script" and "=" in [marks[name] for name in names]
            ):
                continue  # no operand is a program, or the code came with the option
            option = [word for name in names for word in with_value(name)]
            words = [*program.name.split(), *option, *["1"] * program.before]
            assert walk([*((word,) for word in words), (Placeholder(1),)]).refusal, words
            seen += 1
    assert seen > 1000


def test_no_option_with_code_takes_a_value() -> None:
    for program in table().values():
        words: list[tuple[str | Placeholder, ...]] = [(word,) for word in program.name.split()]
        for name, mark in {**program.short, **program.long}.items():
            if not mark or mark not in "!=@":
                continue
            option = "+" if name == "+" else f"--{name}" if len(name) > 1 else f"-{name}"
            attached = (f"{option}=" if len(name) > 1 else option, Placeholder(1))
            assert name == "+" or walk([*words, (option,), (Placeholder(1),)]).refusal, (program.name, name)
            assert mark == "@" or walk([*words, attached]).refusal, (program.name, name)


def test_the_table_has_the_programs_of_the_finding() -> None:
    assert len({name.split()[0] for name in table()}) >= 120
    for path, name in {
        "/usr/bin/python3.11": "python",
        "gcc-12": "gcc",
        "lua5.4": "lua",
        "ld-linux.so.2": "ld-linux.so",
    }.items():
        found = find_program(path)
        assert found is not None
        assert found.name == name
    assert find_program("ls") is None


def test_check_names_every_program_with_free_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted({name.split()[0] for name in table()} - {".", "$"})
    for start in range(0, len(names), 400):  # a file has at most 500 entries
        part = names[start : start + 400]
        path = write(tmp_path, "commands:\n" + "".join(f"  - {{prefix: '{name}'}}\n" for name in part))
        cli.check(str(path))
        printed = capsys.readouterr().out
        warned = {
            line.split(": command ")[1].partition(":")[0] for line in printed.splitlines() if "args or max_args" in line
        }
        assert sorted(warned) == part


@pytest.mark.parametrize(
    ("entry", "warning"),
    [
        ("commands: [{prefix: sudo -u root}]", "the value would choose the program"),
        ("commands: [{prefix: sudo -n nice tar}]", "sudo and nice and tar can run other programs"),
        ("commands: [{prefix: docker exec web}]", "the value would choose the program"),
        ("templates: [{name: t, temp: 'tar xf x %s', options: allow}]", "with `options: allow` tar can run other"),
        ("commands: [{prefix: tar, args: [x]}]", ""),
        ("commands: [{prefix: tar, max_args: 0}]", ""),
        ("commands: [{prefix: ls}]", ""),
        ("templates: [{name: t, temp: 'tar xf %s'}]", ""),
    ],
)
def test_check_follows_the_programs_of_a_prefix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: str, warning: str
) -> None:
    cli.check(str(write(tmp_path, entry + "\n")))
    printed = capsys.readouterr().out
    assert warning in printed
    assert ("other programs" in printed or "choose the program" in printed) == bool(warning)
