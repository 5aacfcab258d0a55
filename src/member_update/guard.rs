//! Which calls on members are guarded; the others stream through.

use http::Method;

use crate::openstack::member_action::Action;

/// `[member_update] guard`: the update always, and any of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard([bool; Action::ALL.len()]);

impl Guard {
    /// Guards the update, and these.
    pub fn of(actions: &[Action]) -> Self {
        Self(Action::ALL.map(|action| action == Action::Update || actions.contains(&action)))
    }

    /// Returns what is guarded.
    pub fn actions(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().zip(self.0).filter(|(_, is_guarded)| *is_guarded).map(|(action, _)| action)
    }

    /// Tells whether a path that resembles that of all members must be one: it would pass by unseen otherwise.
    pub fn has_members_path(self) -> bool {
        self.holds(Action::List) || self.holds(Action::Create)
    }

    /// Returns what the method does with one member, if that is guarded.
    pub fn on_member(self, method: &Method) -> Option<Action> {
        Action::on_member(method).filter(|action| self.holds(*action))
    }

    /// Returns what the method does with all members, if that is guarded.
    pub fn on_members(self, method: &Method) -> Option<Action> {
        Action::on_members(method).filter(|action| self.holds(*action))
    }

    fn holds(self, action: Action) -> bool {
        self.actions().any(|guarded| guarded == action)
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::of(&[])
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::Guard;
    use crate::openstack::member_action::Action;

    #[test]
    fn updates_are_guarded_always_and_others_only_where_they_are_named() {
        let guard = Guard::default();
        assert_eq!(guard.on_member(&Method::PUT), Some(Action::Update));
        assert_eq!(guard.on_member(&Method::POST), Some(Action::Update));
        for method in [Method::GET, Method::DELETE, Method::OPTIONS] {
            assert_eq!((guard.on_member(&method), guard.on_members(&method)), (None, None), "{method}");
        }
        let all = Guard::of(&Action::ALL);
        assert_eq!(all.actions().collect::<Vec<_>>(), Action::ALL);
        assert_eq!(all.on_member(&Method::DELETE), Some(Action::Delete));
        assert_eq!(all.on_members(&Method::POST), Some(Action::Create));
        assert_eq!((all.on_members(&Method::PUT), all.on_member(&Method::OPTIONS)), (None, None));
        assert!(all.has_members_path() && !Guard::of(&[Action::Show, Action::Delete]).has_members_path());
    }
}
